/** A statement of which the caller says nothing: run where it was found to belong, and on the primary when a replica knows better. */
import type { QueryResult, QueryResultRow } from 'pg';
import { isMissingName, isOnlyForPrimary, isRefusal, isUnreadable } from '../postgres/errors.js';
import type { Classification, Classifier } from '../statements/classifier.js';
import { textOf } from './call.js';
import { readFresh } from './read.js';
import { readOnPrimary, readUnlessFinal } from './read-on-primary.js';
import type { StatementRequest } from './request.js';
import { write } from './write.js';

/** @param found what the statement was found to be */
export function query<Row extends QueryResultRow>(
  request: StatementRequest,
  found: Classification,
  classifier: Classifier,
): Promise<QueryResult<Row>> {
  if (found.class === 'read') {
    const vouching = { found, isVouched: false };
    return readUnlessRefused(request, vouching, classifier, () => write<Row>(request, 'misrouted'));
  }
  const writing = write<Row>(request, found.class === 'session' ? 'session-state' : 'write');
  return found.isDefinition ? writing.finally(() => classifier.changed(textOf(request.statement.query))) : writing;
}

/** Why a statement is taken for a read. */
export interface Vouching {
  readonly found: Classification;
  /** Whether its user says that it reads: then it writes nothing on the primary, either. */
  readonly isVouched: boolean;
}

/**
 * What was found to be a read, or is said to be one; a single one that a replica refuses all the same runs on the
 * primary, whose answer is final.
 */
export function readUnlessRefused<Row extends QueryResultRow>(
  request: StatementRequest,
  { found, isVouched }: Vouching,
  classifier: Classifier,
  onPrimary: () => Promise<QueryResult<Row>>,
): Promise<QueryResult<Row>> {
  const { statement, target, startedAt } = request;
  const { profile, query: asked } = statement;
  if (target === undefined && profile?.isForPrimary(startedAt) === true)
    return isVouched ? readOnPrimary<Row>(request) : onPrimary();
  return readFresh<Row>(request, async (_, attempt, error) => {
    if (attempt.node.role !== 'replica' || !found.isSingle) throw error;
    if (isVouched && isUnreadable(error)) return readUnlessFinal<Row>(request, attempt, error);
    const isWrite = isRefusal(error);
    if (!(isWrite || isMissingName(error))) throw error;
    attempt.abandoned();
    request.rerunCount++;
    const result = await onPrimary();
    if (isWrite) classifier.misrouted(textOf(asked));
    if (isOnlyForPrimary(error)) profile?.refused(startedAt);
    return result;
  });
}
