/** A statement of which the caller says nothing: run where it was found to belong, and on the primary when a replica knows better. */
import type { QueryResult, QueryResultRow } from 'pg';
import type { Reason } from '../events.js';
import type { Floor } from '../freshness/floor.js';
import type { Need } from '../nodes/fleet.js';
import type { Classification, Classifier } from '../sql/classifier.js';
import { read, type Trial } from './read.js';
import { isMissingName, isRefusal } from './retry.js';
import type { Rungs } from './rungs.js';
import type { Statement } from './statement.js';
import { write } from './write.js';

export interface QueryRequest {
  readonly text: string;
  readonly statement: Statement;
  readonly found: Classification;
  readonly need: Need;
  /** The session's, which a write moves. */
  readonly floor: Floor;
  readonly startedAt: number;
}

export async function query<Row extends QueryResultRow>(
  rungs: Rungs,
  classifier: Classifier,
  { text, statement, found, need, floor, startedAt }: QueryRequest,
): Promise<QueryResult<Row>> {
  const onPrimary = (reason: Reason): Promise<QueryResult<Row>> =>
    write<Row>(rungs.fleet, statement, floor, startedAt, need.giveUpAt, reason);
  if (found.class !== 'read') {
    try {
      return await onPrimary(found.class === 'session' ? 'session-state' : 'write');
    } finally {
      if (found.isDefinition) classifier.changed();
    }
  }
  const trial: Trial = { failedOnReplica: false };
  let isWrite = false;
  try {
    return await read<Row>(rungs, statement, need, startedAt, trial);
  } catch (error) {
    isWrite = isRefusal(error);
    if (!trial.failedOnReplica || !found.isSingle || !(isWrite || isMissingName(error))) throw error;
  }
  const result = await onPrimary('misrouted');
  if (isWrite) classifier.misrouted(text);
  return result;
}
