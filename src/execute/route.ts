/** Who gave an answer: kept on pg's result, where neither JSON nor a copy nor a deep comparison sees it. */
import type { QueryResult } from 'pg';
import type { Reason, RungName } from '../events.js';
import { formatLsn, type Lsn } from '../freshness/lsn.js';
import type { AnswerSource } from '../nodes/answer-source.js';
import type { Role } from '../nodes/node.js';

/** Who gave an answer, and why it was that one: see {@link routeOf}. */
export interface Route {
  /** Where it stood on the ladder. */
  readonly rung: RungName;
  /** The node's name. */
  readonly node: string;
  /** The node's role when it answered. */
  readonly role: Role;
  /** Why the statement went there. */
  readonly reason: Reason;
  /** Time spent on finding that node, in milliseconds. */
  readonly waitedMillis: number;
  /** How often the statement was run again, since a server was lost under it or refused it. */
  readonly rerunCount: number;
  /**
   * How far the replica was known to have replayed before the statement ran there; it may have
   * shown more. `undefined` for answers of the primary, and where no positions are told.
   */
  readonly position: { readonly timeline: number; readonly lsn: string } | undefined;
  /**
   * How old the data of a kept answer was at most when it was given, in milliseconds. `undefined`
   * for answers of servers.
   */
  readonly ageMillis: number | undefined;
}

/** What is remembered of a route: the rest is worked out when somebody asks. */
export interface RouteRecord {
  readonly rung: RungName;
  readonly node: string;
  readonly role: Role;
  readonly reason: Reason;
  readonly waitedMillis: number;
  readonly rerunCount: number;
  readonly timeline: number;
  /** A replica's position; `undefined` where none is known. */
  readonly lsn: Lsn | undefined;
  /** See {@link Route.ageMillis}. */
  readonly ageMillis: number | undefined;
  /** By what the connection wrote the answer; `undefined` where it is not wanted. */
  readonly source: AnswerSource | undefined;
}

const ROUTE = Symbol.for('pg-ladder.route');
const descriptor: PropertyDescriptor = { value: undefined, enumerable: false, configurable: true, writable: true };

/** Says on a result who gave it. */
export function markRoute(result: object, record: RouteRecord): void {
  descriptor.value = record;
  Object.defineProperty(result, ROUTE, descriptor);
  descriptor.value = undefined;
}

/** What was remembered of a result; `undefined` for one that pg-ladder did not give. */
export function routeRecordOf(result: object): RouteRecord | undefined {
  return (result as { [ROUTE]?: RouteRecord })[ROUTE];
}

/**
 * Says which server gave a result, or once gave it, and why the statement went there.
 * @param result of `read`, `write`, `query`, or of a statement of `cluster.pool()`; the very object, not a copy
 * @returns `undefined` for a result that pg-ladder did not give
 */
export function routeOf(result: QueryResult | readonly QueryResult[]): Route | undefined {
  const record = routeRecordOf(result);
  if (record === undefined) return undefined;
  const { rung, node, role, reason, waitedMillis, rerunCount, timeline, lsn, ageMillis } = record;
  const position = lsn === undefined ? undefined : { timeline, lsn: formatLsn(lsn) };
  return { rung, node, role, reason, waitedMillis, rerunCount, position, ageMillis };
}
