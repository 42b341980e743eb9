/**
 * One run of a request in one place. Only here a statement enters a node, is sent, timed, told of,
 * and leaves again; only here a read leaves its trace. Its answers come in the async context of the
 * call. Which place that is, and what follows from the answer, is decided elsewhere.
 */
import type { ClientBase, QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import type { Reason } from '../events.js';
import type { Lsn } from '../freshness/lsn.js';
import type { CheckedOut } from '../nodes/checkout-queue.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { LaneConnection, LaneStatement } from '../nodes/lane-connection.js';
import type { Node } from '../nodes/node.js';
import { type Answer, type Submittable, textOf } from '../postgres/arguments.js';
import { isServerFault } from '../postgres/errors.js';
import { fateOf } from '../postgres/fate.js';
import type { PositionRider } from '../postgres/position-rider.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import { submitQuery } from '../postgres/submit.js';
import type { Profile } from '../statements/profile.js';
import { cancellable } from './abort.js';
import { failedOn } from './connection-state.js';
import { measure } from './measure.js';
import { noteRead } from './note-read.js';
import { tellQuery } from './query-event.js';
import type { Request, Statement } from './request.js';
import { markRoute, type RouteRecord } from './route.js';
import { type Answered, sendOn } from './send.js';

/** The first statements are all timed, and later every eighth: enough for percentiles, and nothing beside the statement itself. */
const TIMED_ALL = 64;
const TIMED_MASK = 7;

/** @param isLost whether the connection was lost under the statement */
type LaneAnswered<Row extends QueryResultRow> = (
  error: Error | null,
  result: QueryResult<Row> | undefined,
  now: number,
  isLost: boolean,
) => void;

/** A statement that is under way, and whose duration is wanted. */
export interface Sent {
  /** As pg gets it. */
  readonly asked: unknown;
  /** Our monotonic clock. */
  readonly at: number;
  /** Whether it is wanted by more than the one who has sent it. */
  readonly isTold: boolean;
}

export class Attempt {
  readonly request: Request;
  readonly node: Node;
  readonly reason: Reason;
  /** Gives back the turn under the primary's budget, where one was needed. */
  endTurn: (() => void) | undefined = undefined;
  private waitedMillis: number;
  /** Of its statements. */
  private running = 0;
  /** How far the replica was known to be before the statement ran, on which timeline. */
  private lsn: Lsn | undefined;
  private timeline = 0;
  /** Where it runs. By what that writes answers is known when there is one. */
  private answering: Pick<DataConnection, 'source'> | undefined;
  /** What its server is asked behind it. */
  upperBound: RouteRecord['upperBound'];
  /** Whether it may have read what its trace does not tell yet. */
  private isOpen: boolean;
  /** What is said on its results, once there is one. */
  private route: RouteRecord | undefined;

  /** Enters the node: from here on it counts as its load, also while it waits for a connection. */
  constructor(request: Request, node: Node, reason: Reason) {
    this.request = request;
    this.node = node;
    this.reason = reason;
    this.waitedMillis = 0;
    this.isOpen = false;
    this.route = undefined;
    node.load.add();
  }

  /** It has a connection that will do: counts and tells where the statement goes. @param lsn how far the replica was before that */
  placed(now: number, connection: Pick<DataConnection, 'source'>, lsn = this.node.lsn): void {
    const { startedAt, context, notes, isSeries, trace } = this.request;
    if (isSeries && !this.isOpen) trace?.opened();
    this.isOpen = isSeries;
    this.waitedMillis = now - startedAt;
    if (this.node.role === 'replica') this.lsn = lsn;
    // By the time of the answer there may be another one, of which the position is none.
    this.timeline = context.fleet.history.timelines.timeline;
    this.answering = connection;
    this.route = undefined;
    context.fleet.counts.placed(this, this.waitedMillis);
    if (notes !== undefined) noteRead(notes, this.request, this.node, this.lsn, now);
  }

  /** It runs elsewhere, and counts there. */
  abandoned(): void {
    this.request.context.fleet.counts.abandoned(this);
  }

  /** Leaves the node. @param readOn the server whose answer the session has seen, where it read */
  leave(readOn?: string, now = performance.now()): void {
    const { trace, key, tables } = this.request;
    if (readOn !== undefined) trace?.ended(readOn, now, key, tables, this.upperBound);
    if (this.isOpen) trace?.closed();
    this.node.load.remove();
    this.node.load.over(this.running);
    this.running = 0;
    this.endTurn?.();
  }

  /** Takes a connection of the node's pool, which another call's release may hand out. */
  checkout(mayWrite: boolean, done: CheckedOut): void {
    const { callingContext } = this.request;
    this.node.connections.checkout(mayWrite, (error, connection) =>
      callingContext.runInAsyncScope(done, undefined, error, connection),
    );
  }

  /** Runs a statement on that connection. @throws pg's error, or the reason of `signal` */
  run<Row extends QueryResultRow>(
    connection: DataConnection,
    statement: Statement,
    signal: AbortSignal | undefined,
  ): Promise<QueryResult<Row>> {
    const running = new Promise<QueryResult<Row>>((resolve, reject) => {
      this.send<Row>(connection, statement, (error, result) => (error === null ? resolve(result) : reject(error)));
    });
    if (signal === undefined) return running;
    return cancellable(running, signal, () => this.node.connections.cancel(connection));
  }

  /**
   * Runs what belongs to a transaction, such as BEGIN. One promise, where pg makes two.
   * @param rider asks behind it where the log ends; `located` gets that before the promise is settled
   * @throws pg's error
   */
  ask(
    connection: DataConnection,
    text: string,
    rider?: PositionRider,
    located?: (lsn: string | undefined) => void,
  ): Promise<QueryResult> {
    const statement = { query: text, values: undefined, profile: undefined, introduce: undefined, tables: undefined };
    return new Promise((resolve, reject) => {
      const answered: Answered<QueryResult> = (error, result, lsn) => {
        located?.(lsn);
        if (error === null) resolve(result);
        else reject(error);
      };
      this.send(connection, statement, answered, rider);
    });
  }

  /**
   * As `run`, without a promise and without giving up.
   * @param rider asks behind the statement where the log ends; `answer` gets that, too
   */
  send<Row extends QueryResultRow>(
    connection: DataConnection,
    statement: Statement,
    answer: Answered<QueryResult<Row>>,
    rider?: PositionRider,
  ): void {
    const { query, profile } = statement;
    const { callingContext } = this.request;
    connection.sourceWatch?.runs(textOf(query));
    const sent = this.begin(query, profile !== undefined);
    const answered: Answered<QueryResult<Row>> = (error, result, position) => {
      const now = this.end(sent, error, error === null ? result.rowCount : null);
      if (error !== null) {
        if (now > 0 && isServerFault(error)) this.node.load.response.failed(now);
        failedOn(connection, error, () => callingContext.runInAsyncScope(answer, undefined, error, result, position));
        return;
      }
      if (profile !== undefined && sent !== undefined) measure(this.node, profile, now - sent.at, now);
      this.mark(result);
      // Nothing is begun here: the promise's awaiter goes on in its own context.
      answer(null, result, position);
    };
    sendOn(connection, statement, sent?.at ?? 0, callingContext, rider, answered);
  }

  /** Sends a statement on a connection that it shares with others. Its answer may prove nothing yet, so the caller marks it. */
  sendShared<Row extends QueryResultRow>(
    lane: LaneConnection,
    statement: LaneStatement,
    profile: Profile,
    answer: LaneAnswered<Row>,
  ): void {
    const { callingContext } = this.request;
    const sent = this.begin(statement, false);
    lane.send(statement, profile, (error, result, now) => {
      this.end(sent, error, result?.rowCount ?? null, now);
      if (error !== null) {
        fateOf({ client: lane.client }, error, (isLost) =>
          callingContext.runInAsyncScope(answer, undefined, error, undefined, now, isLost),
        );
        return;
      }
      answer(null, result as QueryResult<Row>, now, false);
    });
  }

  /** Sends a statement as its user gave it, and marks its result. What follows from an error is the caller's. */
  submit(client: ClientBase, query: PreparedQuery, values: unknown[] | undefined, answer: Answer): void {
    const sent = this.begin(query);
    submitQuery<QueryResult | undefined>(client, query, values, (error, result) => {
      this.end(sent, error, result?.rowCount ?? null);
      if (error === null && result !== undefined) this.mark(result);
      answer(error, result);
    });
  }

  /**
   * Sends a cursor, a stream or COPY, of whose end pg tells by events alone.
   * @param over called once, when pg has nothing more to send or the connection has ended (`isLost`)
   * @throws what `send` throws, behind `over`
   */
  follow<T>(client: ClientBase, asked: Submittable, send: () => T, over?: (isLost: boolean) => void): T {
    const sent = this.begin(asked);
    const done = (isLost: boolean): void => {
      client.removeListener('drain', drained);
      client.removeListener('end', lost);
      this.end(sent, null, null);
      over?.(isLost);
    };
    const drained = (): void => done(false);
    const lost = (): void => done(true);
    client.on('drain', drained);
    client.on('end', lost);
    try {
      return send();
    } catch (error) {
      lost();
      throw error;
    }
  }

  /**
   * Something is sent for the request: `end` says when it is over.
   * @param asked the statement in whatever form pg gets it
   * @param isMeasured whether its duration is wanted anyway
   * @returns what `end` is given; `undefined` where its duration is not wanted
   */
  begin(asked: unknown, isMeasured = false): Sent | undefined {
    const { request, node } = this;
    const count = node.load.statementCount++;
    this.running++;
    request.context.retries.sent(request.rerunCount === 0, request.startedAt, node.load.sent());
    const isTimed = count < TIMED_ALL || (count & TIMED_MASK) === 0;
    const isTold = isTimed || request.context.fleet.publisher.wants('query');
    return isTold || isMeasured ? { asked, at: performance.now(), isTold } : undefined;
  }

  /** It is over. @param sent as `begin` gave it @returns our monotonic clock; 0 where its duration is not wanted */
  end(sent: Sent | undefined, error: Error | null, rowCount: number | null, at?: number): number {
    if (this.running > 0) {
      this.running--;
      this.node.load.over(1);
    }
    if (sent === undefined) return 0;
    const now = at ?? performance.now();
    if (!sent.isTold) return now;
    this.node.load.statementLatency.add(now - sent.at);
    if (this.request.context.fleet.publisher.wants('query'))
      tellQuery(this, sent.asked, now - sent.at, rowCount, error);
    return now;
  }

  /** Says on a result who gave it; see `routeOf`. */
  mark(result: object): void {
    // It may be promoted in the middle of a transaction.
    if (this.route?.role !== this.node.role) this.route = this.#route();
    markRoute(result, this.route);
  }

  #route(): RouteRecord {
    const { reason, waitedMillis, lsn, timeline, answering, upperBound, request } = this;
    const { name: node, role } = this.node;
    const { rerunCount } = request;
    const source = answering?.source;
    const ageMillis = undefined;
    return { rung: role, node, role, reason, waitedMillis, rerunCount, timeline, lsn, ageMillis, source, upperBound };
  }
}
