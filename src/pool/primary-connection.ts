/**
 * A client's connection to the primary: opened to whichever server that is, and watched for what may have been committed on it, so that the sessions of those
 * who used it find their writes. It runs what it is given as pg does, in its order.
 */

import type { Client, QueryResult } from 'pg';
import { performance, setImmediate } from '../clock.js';
import { Attempt } from '../execute/attempt.js';
import { isDefinition } from '../execute/call.js';
import { isInTransaction } from '../execute/connection-state.js';
import type { Opened } from '../execute/primary.js';
import type { Request } from '../execute/request.js';
import { lostUnder } from '../execute/rerun.js';
import { holdUntilSettled, wrote } from '../execute/write.js';
import type { Floor, UncertainWrite } from '../freshness/floor.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { Node } from '../nodes/node.js';
import { type Answer, type Submittable, textOf } from '../postgres/arguments.js';
import { isServerError, verdictOf } from '../postgres/errors.js';
import { fateOf, whenReady } from '../postgres/fate.js';
import { isQueryable } from '../postgres/internals.js';
import { submit } from '../postgres/submit.js';
import type { ReadStatus } from '../postgres/transaction-status.js';
import { mayBind } from '../sql/session-state.js';
import type { Classification } from '../statements/classifier.js';
import type { ClusterAccess } from './access.js';
import type { Job } from './job.js';
import { type ReportedSettings, reportedBy, SettingsLeft } from './settings-left.js';

/** What is found out about a statement while it runs. */
export interface Finding {
  found: Classification | undefined;
  /** Whether later statements of the client depend on what this one does. */
  readonly learns: boolean;
}

interface GivenUp {
  /** The statement's, of those sent on the connection. */
  readonly number: number;
  readonly write: UncertainWrite;
}

export class PrimaryConnection {
  readonly client: Client;
  readonly node: Node;
  readonly status: ReadStatus;
  /** Statements that have not been answered. */
  pending = 0;
  readonly #cluster: ClusterAccess;
  readonly #connection: DataConnection;
  readonly #settings: SettingsLeft;
  /** The last text that may have left something. */
  #suspect: string | undefined;
  /** Of the sessions whose statements may have written in the open transaction. */
  readonly #writers = new Set<Floor>();
  /** What in it may have changed the catalogue. */
  readonly #definitions: (string | undefined)[] = [];
  #sentCount = 0;
  /** Statements that pg no longer waits for, although their connection lives on: over when one that was sent after them is answered. */
  readonly #givenUp: GivenUp[] = [];
  #onIdle: (() => void) | undefined;

  private constructor(cluster: ClusterAccess, { node, connection }: Opened, reported: ReportedSettings) {
    this.#cluster = cluster;
    this.#connection = connection;
    this.#settings = new SettingsLeft(reported);
    this.node = node;
    this.client = connection.client;
    this.status = connection.status;
  }

  /** @param clientFor pg's client for that server, not connected yet @throws pg's error, and LadderError `LADDER_NO_PRIMARY`, `LADDER_TWO_PRIMARIES` */
  static async open(cluster: ClusterAccess, clientFor: (node: Node) => Client): Promise<PrimaryConnection> {
    let reported: ReportedSettings = new Map();
    const opened = await cluster.openPrimary((node) => {
      const client = clientFor(node);
      reported = reportedBy(client);
      return client;
    });
    return new PrimaryConnection(cluster, opened, reported);
  }

  get isInTransaction(): boolean {
    return isInTransaction(this.#connection);
  }

  /** Whether something was left on it that later reads go by. */
  get holdsState(): boolean {
    return this.#settings.hold;
  }

  /** Its next user gets another connection. */
  forgetState(): void {
    this.#settings.forget();
  }

  /** Whether statements may still be sent to the primary on it. */
  get isUsable(): boolean {
    return isQueryable(this.client) && this.#cluster.primary === this.node && !this.#isDoubtful;
  }

  /** Whether it may be dead, and another one is as good. */
  get #isDoubtful(): boolean {
    return (
      this.pending === 0 && !this.holdsState && this.node.connections.isSuspect(this.client) && !this.isInTransaction
    );
  }

  /** Calls `then` when the last statement that is under way has been answered. */
  whenIdle(then: () => void): void {
    this.#onIdle = then;
  }

  send({ query, values, scope, entry, answer }: Job, finding: Finding): void {
    const attempt = this.#enter(this.#cluster.writeRequest(scope, entry), finding);
    const { timeline } = attempt.request.context.fleet.history.timelines;
    this.#settings.before();
    const number = ++this.#sentCount;
    const wasQueryable = isQueryable(this.client);
    const answered: Answer = (error, result) => {
      if (error) this.#failed(error, number, wasQueryable, finding, attempt);
      else this.#settleBefore(number);
      this.#answered(error, query, finding.found, attempt, timeline);
      const over = (): void => {
        this.#noteState(error, query, finding, result);
        this.#leave(attempt, finding);
      };
      // What state it has left is told behind the error: until then the client must not go to somebody else.
      if (!error || !isServerError(error)) {
        over();
        answer(error, result);
      } else if (verdictOf(error) !== 'open') {
        whenReady(this.client, () => {
          over();
          answer(error, result);
        });
      } else {
        // Where the connection may end, its user hears of the error first, as with pg.
        whenReady(this.client, over);
        answer(error, result);
      }
    };
    attempt.submit(this.client, query, values, answered);
  }

  /** When it ends is told by pg alone, and after its user: until then the session reads on the primary, unless it is known to only read. */
  submit(submittable: Submittable, callback: Answer | undefined, request: Request, finding: Finding): void {
    if (!isQueryable(this.client)) {
      submit(this.client, submittable, callback);
      return;
    }
    const attempt = this.#enter(request, finding);
    const { floor } = request.asker;
    const { fleet } = request.context;
    const isRead = finding.found?.class === 'read';
    const open: UncertainWrite = { settledAt: undefined };
    if (!isRead) floor.hold(open);
    const over = (): void => {
      if (!isRead) {
        if (!this.isUsable) holdUntilSettled(fleet, this.node, this.#connection, floor);
        this.#writers.add(floor);
        const now = performance.now();
        open.settledAt = now;
        fleet.monitor.wrote(this.node, now);
      }
      this.#leave(attempt, finding);
    };
    attempt.follow(this.client, submittable, () => submit(this.client, submittable, callback), over);
  }

  #enter(request: Request, { found }: Finding): Attempt {
    this.pending++;
    const isRead = found?.class === 'read';
    const reason =
      this.isInTransaction || found?.because === 'TransactionStmt'
        ? 'transaction'
        : isRead || found?.class === 'session'
          ? 'session-state'
          : 'write';
    const attempt = new Attempt(request, this.node, reason);
    attempt.placed(performance.now(), this.#connection);
    return attempt;
  }

  #leave(attempt: Attempt, { found }: Finding): void {
    attempt.leave(found?.class === 'read' ? this.#connection.identity.server : undefined);
    this.pending--;
    if (this.pending > 0 || this.#onIdle === undefined) return;
    // Its last answer is not read yet.
    setImmediate(this.#onIdle);
    this.#onIdle = undefined;
  }

  /** As long as its outcome is open, the session reads on the primary. */
  #failed(error: Error, number: number, wasQueryable: boolean, { found }: Finding, attempt: Attempt): void {
    const open: UncertainWrite = { settledAt: undefined };
    const { floor } = attempt.request.asker;
    if (found?.class !== 'read' && verdictOf(error) === 'open') floor.hold(open);
    fateOf(this.#connection, error, (isLost) => {
      if (!isLost && isServerError(error)) this.#settleBefore(number);
      else if (isLost && wasQueryable) this.#gaveUp(error, number, found, attempt);
      open.settledAt = performance.now();
    });
  }

  #gaveUp(error: Error, number: number, found: Classification | undefined, { request }: Attempt): void {
    if (found?.class === 'read') return;
    lostUnder(this.node, error, 'write');
    // It may have been the COMMIT of what others have written.
    for (const writer of this.#writers.add(request.asker.floor)) {
      this.#givenUp.push({
        number,
        write: holdUntilSettled(request.context.fleet, this.node, this.#connection, writer),
      });
    }
  }

  #settleBefore(number: number): void {
    while (this.#givenUp[0] !== undefined && this.#givenUp[0].number < number) {
      this.#givenUp[0].write.settledAt ??= performance.now();
      this.#givenUp.shift();
    }
  }

  #answered(
    error: Error | null | undefined,
    query: Job['query'],
    found: Classification | undefined,
    attempt: Attempt,
    timeline: number,
  ): void {
    if (found?.class === 'read') return;
    if (error) {
      // Of several statements, or within a procedure, some may have been committed.
      wrote(attempt, timeline);
      return;
    }
    const { floor } = attempt.request.asker;
    const isControl = found?.isTransactionControl === true;
    const isOpen = this.isInTransaction;
    // Several statements may have ended one transaction and begun another.
    const mayHaveCommitted = isControl
      ? this.#writers.size > 0
      : !(isSetting(found) || isOpen) || found?.isSingle !== true;
    if (!isControl || mayHaveCommitted) this.#writers.add(floor);
    if (mayHaveCommitted) for (const writer of this.#writers) wrote(attempt, timeline, undefined, writer);
    if (!isOpen) this.#writers.clear();
    if (found?.isDefinition ?? isDefinition(query)) this.#definitions.push(textOf(query));
    if (isOpen || this.#definitions.length === 0) return;
    // Definitions of a transaction, one behind the other; one that ran by its name alone may be any.
    const texts = this.#definitions.splice(0);
    this.#cluster.changed(texts.includes(undefined) ? undefined : texts.join('\n;'));
  }

  #noteState(error: Error | null | undefined, query: Job['query'], finding: Finding, result: QueryResult | undefined) {
    const { found, learns } = finding;
    const isOpen = this.isInTransaction;
    const command = [result].flat().at(-1)?.command;
    if (!this.#settings.ran(found, { hasFailed: Boolean(error), isOpen, command })) return;
    if (found !== undefined && mayBind(found.effects)) this.#suspect = textOf(query);
    const text = this.#suspect;
    if (isOpen || text === undefined) return;
    this.#suspect = undefined;
    if (!learns || !this.holdsState) return;
    this.#cluster.warnOnce(text, (digest) => ({
      code: 'session-state',
      message: `a client of a pool keeps to the primary, by what a statement (digest ${digest}) left on its connection; RESET, DISCARD ALL or SET LOCAL set it free`,
      digest,
    }));
  }
}

/** It changes its connection alone. */
function isSetting(found: Classification | undefined): boolean {
  return found?.because === 'VariableSetStmt';
}
