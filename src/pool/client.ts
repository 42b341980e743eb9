/**
 * What `connect()` hands out: pg's client to its user, and a router behind it. Where a statement runs is decided
 * there; here it is only read as pg reads it, and answered as pg answers.
 */
import { EventEmitter } from 'node:events';
import process from 'node:process';
import pg, { type Client, type QueryResult } from 'pg';
import { inNoContext } from '../async-context.js';
import { clientFacts } from '../options/discreet-pool.js';
import { callbackOf, isSubmittable, promised, type Submittable, textOf } from '../postgres/arguments.js';
import { isBroken } from '../postgres/internals.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import { logsOnly } from '../redaction.js';
import type { ClientHost } from './access.js';
import { ClientRouter, type LeftOpen } from './client-router.js';
import { given, valuesOf } from './job.js';
import { NamedTexts } from './named-texts.js';
import { PrimaryClient, type TypeParser } from './primary-client.js';

export class RoutedClient extends EventEmitter {
  readonly #host: ClientHost;
  readonly #primary: PrimaryClient;
  readonly #router: ClientRouter;
  readonly #named = new NamedTexts();
  #hasConnected = false;
  #isCheckedOut = false;
  /** Whether only `query` of the pool has it: what comes next can only come the same way. */
  #isForQuery = false;
  #wasOpenBefore = false;
  #isReferenced = true;

  static {
    logsOnly(RoutedClient.prototype, 'Client', (self) => clientFacts(self as unknown as Client));
    // For those who ask: it is pg's client by all that can be told from outside.
    Object.setPrototypeOf(RoutedClient.prototype, pg.Client.prototype);
  }

  constructor(host: ClientHost) {
    super();
    this.#host = host;
    this.#primary = new PrimaryClient(host, (event, args) => {
      if (event !== 'error' || this.#mayFail) this.emit(event, ...args);
    });
    this.#router = new ClientRouter(host, this.#primary, () => {
      if (!this.#isReferenced) this.unref();
    });
  }

  /** pg's client behind it, to the primary. */
  get primaryClient(): Client {
    return this.#primary.client;
  }

  /** Whether its connection to the primary is open. */
  get isOpen(): boolean {
    return this.#router.own !== undefined;
  }

  /** Whether something was left on its connection that later statements go by. */
  get isTied(): boolean {
    return this.#router.isTied;
  }

  /** pg-pool gives up a client that says no. */
  get _queryable(): boolean {
    return !isBroken(this.#primary.client) && !this.#router.isDiscarded;
  }

  connect(): Promise<this>;
  connect(callback: (error: Error | null, client?: this) => void): void;
  connect(callback?: (error: Error | null, client?: this) => void): Promise<this> | undefined {
    if (callback === undefined) {
      return promised<this>(this.#host.Promise, (answer) => this.connect(answer));
    }
    if (this.#hasConnected) {
      process.nextTick(callback, new Error('Client has already been connected. You cannot reuse a client.'));
      return undefined;
    }
    this.#hasConnected = true;
    if (this.#host.isLate) {
      process.nextTick(callback, null, this);
      return undefined;
    }
    this.#router.open(true).then(
      // pg-pool sets the connection up, and hands it to the caller that has waited longest.
      () => inNoContext(() => process.nextTick(callback, null, this)),
      (error: unknown) => process.nextTick(callback, error),
    );
    return undefined;
  }

  query(query: unknown, values?: unknown, callback?: unknown): unknown {
    if (query === null || query === undefined) throw new TypeError('Client was passed a null or undefined query');
    const { cluster, Promise: PromiseClass } = this.#host;
    const scope = cluster.scope();
    let asked: Submittable | PreparedQuery;
    let givenValues: unknown[] | undefined;
    try {
      asked = given(query);
      givenValues = valuesOf(values);
    } catch (error) {
      const own = callbackOf(undefined, values, callback);
      if (own === undefined) return PromiseClass.reject(error);
      process.nextTick(cluster.bind(own), error as Error);
      return undefined;
    }
    const entry = cluster.pass();
    if (isSubmittable(asked)) {
      const own = callbackOf(undefined, values, callback);
      this.#router.submit({
        submittable: asked,
        callback: own === undefined ? own : cluster.bind(own),
        scope,
        entry,
      });
      return query;
    }
    const job = { query: this.#named.complete(asked), values: givenValues, scope, entry };
    const own = callbackOf(asked, values, callback);
    if (own === undefined) {
      const running = promised<QueryResult>(PromiseClass, (answer) =>
        this.#router.take({ ...job, answer, isCallback: false }),
      );
      return scope.floor.isCounting && !this.#isKnownRead(asked) ? scope.floor.counting(running) : running;
    }
    this.#router.take({ ...job, answer: cluster.bind(own), isCallback: true });
    return undefined;
  }

  #isKnownRead(query: PreparedQuery): boolean {
    const text = textOf(query);
    return text !== undefined && this.#host.cluster.known(text)?.class === 'read';
  }

  setTypeParser(...parser: TypeParser): void {
    this.#primary.setTypeParser(parser);
  }

  /** Of whatever its next statement may find: without any connection, no transaction is open. */
  getTransactionStatus(): 'I' | 'T' | 'E' | null {
    return this.#router.status ?? null;
  }

  /** A client without a connection has nothing that could keep the process alive, or let it go. */
  ref(): void {
    this.#isReferenced = true;
    if (this.isOpen) (this.#primary.client as Client & { ref?(): void }).ref?.();
  }

  unref(): void {
    this.#isReferenced = false;
    if (this.isOpen) (this.#primary.client as Client & { unref?(): void }).unref?.();
  }

  end(callback?: () => void): unknown {
    this.#router.leaveHold(true);
    return callback === undefined ? this.#primary.client.end() : this.#primary.client.end(callback);
  }

  /** It has been taken out of the pool. */
  acquired(): void {
    this.#isCheckedOut = true;
    this.#isForQuery = false;
    const { own } = this.#router;
    this.#wasOpenBefore = own?.isInTransaction === true;
    // Another server is the primary by now.
    if (own?.isUsable === false && !this.#wasOpenBefore) this.#router.forgetState();
  }

  /** It was taken for one statement of the pool's `query`. */
  servesOneQuery(): void {
    this.#isForQuery = true;
  }

  /** It goes back to the pool. @returns what becomes of the transaction that was begun and left open on it */
  released(): LeftOpen | undefined {
    this.#isCheckedOut = false;
    if (this.#router.isIdle) {
      const leftOpen = this.#router.unbind(this.#isForQuery);
      return leftOpen === 'kept' && this.#wasOpenBefore ? undefined : leftOpen;
    }
    this.#router.letStream();
    this.#router.whenIdle(() => this.#releasedLater());
    return undefined;
  }

  /** What was on its way has ended. Somebody else may have the client by then: as with pg, he has it as it is. */
  #releasedLater(): void {
    if (this.#isCheckedOut || this.#router.unbind(this.#isForQuery) !== 'discarded') return;
    // pg-pool lets go of an idle client that fails.
    this.emit('error', new Error('the client was released inside a transaction: it was rolled back'));
  }

  /**
   * A user that does not listen for errors learns of them by the next statement, and not by the end of the process; and one whose statements run elsewhere has
   * nothing to do with a connection that he does not use.
   */
  get #mayFail(): boolean {
    return this.listenerCount('error') > 0 && (this.#router.isBound || !this.#isCheckedOut);
  }
}
