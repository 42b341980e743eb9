/** A statement of which the caller says nothing: run where it was found to belong, and on the primary when a replica knows better. */
import type { QueryResult, QueryResultRow } from 'pg';
import type { Reason } from '../events.js';
import { isMissingName, isOnlyForPrimary, isRefusal, isUnreadable } from '../postgres/errors.js';
import type { Classification, Classifier } from '../statements/classifier.js';
import { textOf } from './call.js';
import { readFresh } from './read.js';
import { readOnPrimary, readUnlessFinal } from './read-on-primary.js';
import type { StatementRequest } from './request.js';
import { write } from './write.js';

/** A statement, and what it was found to be. */
export interface QueryRequest extends StatementRequest {
  readonly found: Classification;
}

export function query<Row extends QueryResultRow>(
  request: QueryRequest,
  classifier: Classifier,
): Promise<QueryResult<Row>> {
  const { found, statement } = request;
  const onPrimary = (reason: Reason): Promise<QueryResult<Row>> => write<Row>(request, reason);
  if (found.class === 'read') return readUnlessRefused(request, classifier, false, () => onPrimary('misrouted'));
  const writing = onPrimary(found.class === 'session' ? 'session-state' : 'write');
  return found.isDefinition ? writing.finally(() => classifier.changed(textOf(statement.query))) : writing;
}

/**
 * What was found to be a read, or is said to be one; a single one that a replica refuses all the same runs on the
 * primary, whose answer is final.
 * @param isVouched whether its user says that it reads: then it writes nothing on the primary, either
 */
export function readUnlessRefused<Row extends QueryResultRow>(
  request: QueryRequest,
  classifier: Classifier,
  isVouched: boolean,
  onPrimary: () => Promise<QueryResult<Row>>,
): Promise<QueryResult<Row>> {
  const { statement, found, target, startedAt } = request;
  const { profile, query: asked } = statement;
  if (target === undefined && profile?.isForPrimary(startedAt) === true)
    return isVouched ? readOnPrimary<Row>(request) : onPrimary();
  return readFresh<Row>(request, async (attempt, error) => {
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
