/** A statement of which the caller says nothing: run where it was found to belong, and on the primary when a replica knows better. */
import type { QueryResult, QueryResultRow } from 'pg';
import type { Reason } from '../events.js';
import type { Floor } from '../freshness/floor.js';
import type { Need } from '../nodes/fleet.js';
import { isMissingName, isOnlyForPrimary, isRefusal, isUnreadable } from '../postgres/errors.js';
import type { Classification, Classifier } from '../statements/classifier.js';
import type { ExecutionContext } from './context.js';
import { read } from './read.js';
import type { Trial } from './read-on-lane.js';
import { readOnPrimary, readUnlessFinal } from './read-on-primary.js';
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

export interface Reading {
  readonly text: string;
  readonly statement: Statement;
  readonly isSingle: boolean;
  /** Whether its user says that it reads: then it writes nothing on the primary, either. */
  readonly isVouched?: boolean;
  readonly need: Need;
  readonly startedAt: number;
}

export function query<Row extends QueryResultRow>(
  context: ExecutionContext,
  classifier: Classifier,
  { text, statement, found, need, floor, startedAt }: QueryRequest,
): Promise<QueryResult<Row>> {
  const onPrimary = (reason: Reason): Promise<QueryResult<Row>> =>
    write<Row>(context.fleet, statement, floor, startedAt, need.giveUpAt, reason);
  if (found.class === 'read') {
    const reading = { text, statement, isSingle: found.isSingle, need, startedAt };
    return readUnlessRefused(context, classifier, reading, () => onPrimary('misrouted'));
  }
  const writing = onPrimary(found.class === 'session' ? 'session-state' : 'write');
  return found.isDefinition ? writing.finally(() => classifier.changed(text)) : writing;
}

/** What was found to be a read, or is said to be one; a single one that a replica refuses all the same runs on the primary, whose answer is final. */
export function readUnlessRefused<Row extends QueryResultRow>(
  context: ExecutionContext,
  classifier: Classifier,
  { text, statement, isSingle, isVouched = false, need, startedAt }: Reading,
  onPrimary: () => Promise<QueryResult<Row>>,
): Promise<QueryResult<Row>> {
  if (statement.profile?.isForPrimary(startedAt) === true && need.target === undefined)
    return isVouched ? readOnPrimary<Row>(context, statement, need, startedAt) : onPrimary();
  const trial: Trial = { failedOn: undefined };
  return read<Row>(context, statement, need, startedAt, trial).catch(async (error: unknown) => {
    const { failedOn } = trial;
    if (failedOn?.node.role !== 'replica' || !isSingle) throw error;
    if (isVouched && isUnreadable(error))
      return readUnlessFinal<Row>({ context, statement, need, startedAt }, failedOn, error);
    const isWrite = isRefusal(error);
    if (!(isWrite || isMissingName(error))) throw error;
    context.fleet.abandoned(failedOn);
    const result = await onPrimary();
    if (isWrite) classifier.misrouted(text);
    if (isOnlyForPrimary(error)) statement.profile?.refused(startedAt);
    return result;
  });
}
