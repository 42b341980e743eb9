/**
 * A client's connection to the primary: opened to whichever server that is, and watched for what may have been committed on it, so that the sessions of those
 * who used it find their writes. It runs what it is given as pg does, in its order.
 */

import type { Client, QueryResult } from 'pg';
import { performance, setImmediate } from '../clock.js';
import { isDefinition } from '../execute/call.js';
import { heardOf, isProvenPrimary, primaryFound, throwUnlessGone } from '../execute/primary.js';
import { lostUnder } from '../execute/rerun.js';
import { isInTransaction, isTimed, tell } from '../execute/statement.js';
import { holdUntilSettled, wrote } from '../execute/write.js';
import type { Floor, UncertainWrite } from '../freshness/floor.js';
import type { DataConnection } from '../nodes/data-connections.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { isServerError, verdictOf } from '../postgres/errors.js';
import { fateOf, whenReady } from '../postgres/fate.js';
import { isQueryable, listenForSettings } from '../postgres/internals.js';
import { submit, submitQuery } from '../postgres/submit.js';
import type { ReadStatus } from '../postgres/transaction-status.js';
import type { SessionScope } from '../session/session.js';
import { mayBind, SessionState, UNKNOWN_EFFECTS } from '../sql/session-state.js';
import type { Classification, Classifier } from '../statements/classifier.js';
import type { ClusterAccess } from './access.js';
import { type Answer, type Job, type Submittable, textOf } from './job.js';

/** The server's word on each setting that it reports, kept up to date. */
function reportedBy(client: Client): ReadonlyMap<string, string> {
  const reported = new Map<string, string>();
  listenForSettings(client, (name, value) => reported.set(name.toLowerCase(), value));
  return reported;
}

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

/** A timer may be early by as much. */
const TIMER_MILLIS = 5;

export class PrimaryConnection {
  readonly client: Client;
  readonly node: Node;
  readonly status: ReadStatus;
  /** Statements that have not been answered. */
  pending = 0;
  /** What was left on it that later reads go by. */
  #state = new SessionState();
  /** What the server reports of its settings, and how that was when the first statement came. */
  readonly #reported: ReadonlyMap<string, string>;
  #reportedFirst: ReadonlyMap<string, string> | undefined;
  /** The last text that may have left something. */
  #suspect: string | undefined;
  readonly #fleet: Fleet;
  readonly #backend: DataConnection;
  /** Of the sessions whose statements may have written in the open transaction. */
  readonly #writers = new Set<Floor>();
  /** What in it may have changed the catalogue. */
  readonly #definitions: (string | undefined)[] = [];
  #sentCount = 0;
  /** Statements that pg no longer waits for, although their connection lives on: over when one that was sent after them is answered. */
  readonly #givenUp: GivenUp[] = [];
  #onIdle: (() => void) | undefined;
  readonly #classifier: Classifier;

  private constructor(
    fleet: Fleet,
    classifier: Classifier,
    node: Node,
    connection: DataConnection,
    reported: ReadonlyMap<string, string>,
  ) {
    this.#reported = reported;
    this.#fleet = fleet;
    this.#classifier = classifier;
    this.node = node;
    this.client = connection.client;
    this.status = connection.status;
    this.#backend = connection;
  }

  /**
   * Waits for a new primary where others could take the place of one that is gone, as a write does.
   * @param clientFor pg's client for that server, not connected yet
   * @throws pg's error, and LadderError `LADDER_NO_PRIMARY`, `LADDER_TWO_PRIMARIES`
   */
  static async open(cluster: ClusterAccess, clientFor: (node: Node) => Client): Promise<PrimaryConnection> {
    const { fleet } = cluster.context;
    const { connectionTimeoutMillis = 0 } = fleet.primary.pool.options;
    const isAlone = fleet.nodes.length === 1;
    const patience = isAlone ? 0 : connectionTimeoutMillis || fleet.settings.primaryWaitMillis;
    // pg-pool's own timer comes first, and says in its words what it was.
    const giveUpAt = fleet.awakeMillis + patience + TIMER_MILLIS;
    for (;;) {
      if (!isAlone && !fleet.leadership.isSettled) await primaryFound(fleet, giveUpAt, undefined);
      const node = fleet.primary;
      const client = clientFor(node);
      const reported = reportedBy(client);
      let connection: DataConnection;
      try {
        // What comes on it without being asked for, such as a notification, belongs to nobody's session.
        connection = await cluster.outsideSessions(() => node.adopt(client));
      } catch (error) {
        endQuietly(client);
        // Without replicas it behaves as pg's pool: the first failed connection is an error at once.
        if (isAlone && !node.hasAnswered) throw error;
        throwUnlessGone(fleet, node, error, giveUpAt - 2 * TIMER_MILLIS);
        if (!node.hasAnswered) await heardOf(fleet, giveUpAt, undefined);
        continue;
      }
      if (isAlone || (await isProvenPrimary(fleet, node, connection))) {
        return new PrimaryConnection(fleet, cluster.classifier, node, connection, reported);
      }
      endQuietly(client);
      const { vacancy } = fleet.leadership;
      if (vacancy !== undefined && fleet.awakeMillis >= giveUpAt) throw vacancy;
    }
  }

  get isInTransaction(): boolean {
    return isInTransaction(this.#backend);
  }

  /** Whether something was left on it that later reads go by. */
  get holdsState(): boolean {
    return this.#state.holds(
      (name) => this.#reported.has(name) && this.#reported.get(name) === this.#reportedFirst?.get(name),
    );
  }

  /** Whoever has it next has another connection. */
  forgetState(): void {
    this.#state = new SessionState();
  }

  /** Whether statements may still be sent to the primary on it. */
  get isUsable(): boolean {
    return isQueryable(this.client) && this.#fleet.primary === this.node && !this.#isDoubtful;
  }

  /** Whether it may be dead, and another one is as good. */
  get #isDoubtful(): boolean {
    return this.pending === 0 && !this.holdsState && this.node.doubts(this.client) && !this.isInTransaction;
  }

  /** Calls `then` when the last statement that is under way has been answered. */
  whenIdle(then: () => void): void {
    this.#onIdle = then;
  }

  send({ query, values, scope, answer }: Job, finding: Finding): void {
    const { node } = this;
    const { publisher, history } = this.#fleet;
    const { timeline } = history.timelines;
    const isHeard = publisher.wants('query');
    const timesIt = isHeard || isTimed(node);
    const startedAt = timesIt ? performance.now() : 0;
    this.#reportedFirst ??= new Map(this.#reported);
    this.#sent(finding);
    const number = ++this.#sentCount;
    const wasQueryable = isQueryable(this.client);
    const answered: Answer = (error, result) => {
      if (timesIt) {
        const durationMillis = performance.now() - startedAt;
        node.statementLatency.add(durationMillis);
        if (isHeard) tell(publisher, node, durationMillis, result?.rowCount ?? null, error ?? null);
      }
      if (error) this.#failed(error, number, wasQueryable, finding, scope);
      else this.#settleBefore(number);
      this.#answered(error, query, finding.found, scope, timeline);
      const over = (): void => {
        this.#noteState(error, query, finding, result);
        this.#ended();
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
    submitQuery(this.client, query, values, answered);
  }

  /** When it ends is told by pg alone, and after its user: until then the session reads on the primary, unless it is known to only read. */
  submit(submittable: Submittable, callback: Answer | undefined, scope: SessionScope, finding: Finding): void {
    if (!isQueryable(this.client)) {
      submit(this.client, submittable, callback);
      return;
    }
    this.#sent(finding);
    const isRead = finding.found?.class === 'read';
    const open: UncertainWrite = { settledAt: undefined };
    if (!isRead) scope.floor.hold(open);
    const over = (): void => {
      this.client.removeListener('drain', over);
      this.client.removeListener('end', over);
      const now = performance.now();
      if (isRead) scope.trace?.ended(this.#backend.identity.server, now);
      else {
        if (!this.isUsable) holdUntilSettled(this.#fleet, this.node, this.#backend, scope.floor);
        this.#writers.add(scope.floor);
        open.settledAt = now;
        this.#fleet.monitor.wrote(this.node, now);
      }
      this.#ended();
    };
    this.client.on('drain', over);
    this.client.on('end', over);
    try {
      submit(this.client, submittable, callback);
    } catch (error) {
      over();
      throw error;
    }
  }

  #sent({ found }: Finding): void {
    this.pending++;
    this.node.load.add();
    this.node.statementCount++;
    const isRead = found?.class === 'read';
    const reason = this.isInTransaction
      ? 'transaction'
      : isRead || found?.class === 'session'
        ? 'session-state'
        : 'write';
    this.#fleet.placed(this.node, reason, performance.now());
  }

  #ended(): void {
    this.pending--;
    this.node.load.remove();
    if (this.pending > 0 || this.#onIdle === undefined) return;
    // Its last answer is not read yet.
    setImmediate(this.#onIdle);
    this.#onIdle = undefined;
  }

  /** As long as its outcome is open, the session reads on the primary. */
  #failed(error: Error, number: number, wasQueryable: boolean, { found }: Finding, scope: SessionScope): void {
    const open: UncertainWrite = { settledAt: undefined };
    if (found?.class !== 'read' && verdictOf(error) === 'open') scope.floor.hold(open);
    fateOf(this.#backend, error, (isLost) => {
      if (!isLost && isServerError(error)) this.#settleBefore(number);
      else if (isLost && wasQueryable) this.#gaveUp(error, number, found, scope);
      open.settledAt = performance.now();
    });
  }

  #gaveUp(error: Error, number: number, found: Classification | undefined, { floor }: SessionScope): void {
    if (found?.class === 'read') return;
    lostUnder(this.node, error, 'write');
    // It may have been the COMMIT of what others have written.
    for (const writer of this.#writers.add(floor)) {
      this.#givenUp.push({ number, write: holdUntilSettled(this.#fleet, this.node, this.#backend, writer) });
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
    scope: SessionScope,
    timeline: number,
  ): void {
    if (found?.class === 'read') {
      scope.trace?.ended(this.#backend.identity.server, performance.now());
      return;
    }
    if (error) {
      // Of several statements, or within a procedure, some may have been committed.
      wrote(this.#fleet, this, scope.floor, timeline);
      return;
    }
    const isControl = found?.isTransactionControl === true;
    const isOpen = this.isInTransaction;
    // Several statements may have ended one transaction and begun another.
    const mayHaveCommitted = isControl
      ? this.#writers.size > 0
      : !(isSetting(found) || isOpen) || found?.isSingle !== true;
    if (!isControl || mayHaveCommitted) this.#writers.add(scope.floor);
    if (mayHaveCommitted) for (const floor of this.#writers) wrote(this.#fleet, this, floor, timeline);
    if (!isOpen) this.#writers.clear();
    if (found?.isDefinition ?? isDefinition(query)) this.#definitions.push(textOf(query));
    if (isOpen || this.#definitions.length === 0) return;
    // Definitions of a transaction, one behind the other; one that ran by its name alone may be any.
    const texts = this.#definitions.splice(0);
    this.#classifier.changed(texts.includes(undefined) ? undefined : texts.join('\n;'));
  }

  #noteState(error: Error | null | undefined, query: Job['query'], finding: Finding, result: QueryResult | undefined) {
    const { found, learns } = finding;
    const effects = found === undefined ? UNKNOWN_EFFECTS : found.effects;
    const isOpen = this.isInTransaction;
    if (effects.length === 0 && !isOpen && !this.#state.isInTransaction) return;
    if (found !== undefined && mayBind(effects)) this.#suspect = textOf(query);
    const isSingle = found?.isSingle === true;
    const command = [result].flat().at(-1)?.command;
    this.#state.ran(effects, { isSingle, hasFailed: Boolean(error), isOpen, command });
    const text = this.#suspect;
    if (isOpen || text === undefined) return;
    this.#suspect = undefined;
    const { publisher } = this.#fleet;
    if (!learns || !publisher.wants('warning') || !this.holdsState || !this.#classifier.isFirst(text)) return;
    const digest = this.#classifier.digest(text);
    const message = `a client of a pool keeps to the primary, by what a statement (digest ${digest}) left on its connection; RESET, DISCARD ALL or SET LOCAL set it free`;
    publisher.publish('warning', { code: 'session-state', message, digest });
  }
}

/** It changes its connection alone. */
function isSetting(found: Classification | undefined): boolean {
  return found?.because === 'VariableSetStmt';
}

function endQuietly(client: Client): void {
  // A connection that was never opened says so.
  try {
    void client.end().catch(() => undefined);
  } catch {
    // Not every class of clients has it.
  }
}
