/**
 * The pg.Pool that routes. It is one: clients, queue, timeouts and events are pg-pool's own, and so is every behaviour that is not told of here. Only what its
 * clients do with a statement differs, and that reads which need no client take none.
 */

import pg, { type Client, type PoolClient, type PoolConfig, type PoolOptions, type QueryResult } from 'pg';
import { inBackground } from '../async-context.js';
import { setImmediate } from '../clock.js';
import { invalidOptions, isError } from '../errors.js';
import type { Introduce } from '../execute/call.js';
import { callAs, hideSecrets, poolFacts } from '../options/discreet-pool.js';
import { type Answer, callbackOf, isSubmittable, promised, type Submittable, textOf } from '../postgres/arguments.js';
import { makesClients, newClient } from '../postgres/internals.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import { logsOnly } from '../redaction.js';
import type { ClientHost, ClusterAccess, Intent } from './access.js';
import { RoutedClient } from './client.js';
import type { LeftOpen } from './client-router.js';
import { given, valuesOf } from './job.js';
import { resemble } from './resemblance.js';

/** What pg-pool has and its types leave out. */
interface PoolInternals {
  options: PoolOptions & { onConnect?: unknown; verify?: unknown };
  Client: new (options: PoolOptions) => Client;
  Promise: typeof Promise;
}

const MESSAGES: Record<LeftOpen, string> = {
  discarded:
    'a client was released inside a transaction: it was rolled back, and its connection closed; COMMIT or ROLLBACK before release()',
  kept: 'a transaction was left open: as with pg, whoever uses its connection next is in it; use one client of connect() from BEGIN to COMMIT',
};

type Verify = (client: object, callback: (error?: Error) => void) => void;
type OnConnect = (client: object) => unknown;

export class RoutingPool extends pg.Pool {
  readonly #cluster: ClusterAccess;
  readonly #intent: Intent;
  readonly #host: ClientHost;
  /** What pg-pool would do with a new client, where that has no connection yet. */
  readonly #setUp: { readonly onConnect: OnConnect | undefined; readonly verify: Verify | undefined };
  readonly #met = new WeakSet<object>();
  /** Clients on whose connections something was left that reads go by: with pg, any statement may meet one of them. */
  readonly #stateful = new Set<RoutedClient>();
  /** Listeners for `connect` that came while pg-pool was at work: of its instrumentation, and no set-up of the user's. */
  readonly #instruments = new WeakSet<object>();
  #isInPgPool = false;
  /** Whether the next client is asked for by `query`, whose user never sees it. */
  #isQuerying = false;
  /** Reads that run without a client. */
  #readCount = 0;
  #onRead: (() => void) | undefined;

  static {
    logsOnly(RoutingPool.prototype, 'Pool', poolFacts);
    callAs(RoutingPool, pg.Pool.name);
  }

  constructor(cluster: ClusterAccess, intent: Intent) {
    const { primary, nodeCount } = cluster;
    if (!makesClients(primary.pool)) {
      throw invalidOptions(`pool: expected node "${primary.name}" to have a pg.Pool, got one without its Client`);
    }
    super(primary.pool.options);
    const internals = this as unknown as PoolInternals;
    hideSecrets(internals.options, (primary.pool.options as PoolConfig).connectionString);
    const isLate = intent !== 'write' && nodeCount > 1;
    const { onConnect, verify } = internals.options as { onConnect?: OnConnect; verify?: Verify };
    this.#setUp = { onConnect, verify };
    if (isLate) for (const hook of ['onConnect', 'verify'] as const) delete internals.options[hook];
    this.#cluster = cluster;
    this.#intent = intent;
    this.#host = this.#makeHost(isLate, internals.Promise);
    const host = this.#host;
    internals.Client = class Client extends RoutedClient {
      constructor() {
        super(host);
      }
    } as unknown as PoolInternals['Client'];
    const template = newClient(primary.pool);
    callAs(internals.Client, template.constructor.name);
    resemble(internals.Client.prototype as unknown as RoutedClient, template);
  }

  /** A caller that waits for a client gets it when another releases one: its callback must not run in that one's session. */
  override connect(callback?: unknown): never {
    const isForQuery = this.#isQuerying;
    this.#isQuerying = false;
    return this.#asPgPool(() => {
      if (typeof callback !== 'function') return super.connect();
      const bound = this.#cluster.bind(callback as (...given: unknown[]) => void);
      if (!isForQuery) return super.connect(bound);
      return super.connect((error, client, release) => {
        (client as unknown as RoutedClient | undefined)?.servesOneQuery();
        bound(error, client, release);
      });
    }) as never;
  }

  override query(query: unknown, values?: unknown, callback?: unknown): never {
    return this.#query(query, values, callback) as never;
  }

  override end(callback?: unknown): never {
    const given = callback as (() => void) | undefined;
    if (this.ending || this.#readCount === 0) return super.end(given as () => void) as never;
    const { Promise: PromiseClass } = this as unknown as PoolInternals;
    const ending = promised<void>(PromiseClass, (answer) => {
      super.end(() => {
        if (this.#readCount === 0) answer(undefined);
        else this.#onRead = () => answer(undefined);
      });
    });
    if (given === undefined) return ending as never;
    void ending.then(given);
    return undefined as never;
  }

  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    if (event === 'connect' && this.#isInPgPool) this.#instruments.add(listener);
    return super.on(event as 'error', listener as () => void);
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'connect') {
      const [client] = args;
      // A client without a connection has nothing to be set up.
      if (client instanceof RoutedClient && !client.isOpen) return false;
      this.#tellHandedIn(client as PoolClient);
    } else if (event === 'acquire') (args[0] as RoutedClient).acquired();
    else if (event === 'release') this.#released(args[1] as RoutedClient);
    else if (event === 'remove') this.#stateful.delete(args[0] as RoutedClient);
    // The error of an idle client belongs to no call: pg-pool has removed it, and the cluster knows.
    else if (event === 'error' && this.listenerCount('error') === 0) return false;
    return super.emit(event as 'error', ...(args as [Error, PoolClient]));
  }

  #query(query: unknown, values: unknown, callback: unknown): unknown {
    if (typeof query === 'function') return this.#asPgPool(() => super.query(query as never));
    if (!query) return this.#queryOnClient(query, valuesOf(values), this.#callbackOf(values, callback));
    let asked: Submittable | PreparedQuery;
    let givenValues: unknown[] | undefined;
    try {
      asked = given(query);
      givenValues = valuesOf(values);
    } catch (error) {
      return this.#answering(Promise.reject(error as Error), this.#callbackOf(values, callback));
    }
    const isPlain = this.ending || !this.#host.isLate || this.#stateful.size > 0;
    const reading = isPlain ? undefined : this.#readingOf(asked, givenValues);
    const answer = this.#callbackOf(values, callback);
    if (reading === undefined) return this.#queryOnClient(asked, givenValues, answer);
    return this.#answering(this.#counted(this.#read(reading)), answer);
  }

  #queryOnClient(query: unknown, values: unknown[] | undefined, answer: Answer | undefined): unknown {
    this.#isQuerying = true;
    const running: unknown = this.#asPgPool(() =>
      super.query(query as string, values as unknown[], answer as () => void),
    );
    this.#isQuerying = false;
    // It may have to wait for a client first.
    return running instanceof Promise ? this.#cluster.scope().floor.counting(running) : running;
  }

  /** What is known to only read, or vouched for, needs no client; `undefined` for everything else. */
  #readingOf(
    query: Submittable | PreparedQuery,
    values: unknown[] | undefined,
  ): (() => Promise<QueryResult>) | undefined {
    if (isSubmittable(query)) return undefined;
    const text = textOf(query);
    if (text === undefined) return undefined;
    const cluster = this.#cluster;
    const found = cluster.known(text);
    const isVouched = this.#intent === 'read';
    if (found === undefined || !(found.class === 'read' || (isVouched && found.class === 'write'))) return undefined;
    const scope = cluster.scope();
    const { introduce } = this.#host;
    return () => cluster.read({ query, values, scope, entry: cluster.pass(), found, isVouched, introduce });
  }

  #callbackOf(values: unknown, callback: unknown): Answer | undefined {
    const own = callbackOf(undefined, values, callback);
    return own === undefined ? undefined : this.#cluster.bind(own);
  }

  /** As pg-pool answers: a promise of the user's kind, or a callback. */
  #answering(running: Promise<QueryResult>, callback: Answer | undefined): unknown {
    if (callback !== undefined) {
      running.then(
        (result) => process.nextTick(callback, undefined, result),
        (error: unknown) => process.nextTick(callback, error),
      );
      return undefined;
    }
    const { Promise: PromiseClass } = this as unknown as PoolInternals;
    return PromiseClass === Promise
      ? running
      : new PromiseClass((resolve, reject) => void running.then(resolve, reject));
  }

  #read(reading: () => Promise<QueryResult>): Promise<QueryResult> {
    try {
      return reading();
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  #counted<T>(running: Promise<T>): Promise<T> {
    this.#readCount++;
    const over = (): void => {
      // The caller of the read hears of it first.
      if (--this.#readCount === 0 && this.#onRead !== undefined) setImmediate(this.#onRead);
    };
    return running.then(
      (result) => {
        over();
        return result;
      },
      (error: unknown) => {
        over();
        // As pg does it: the caller wants to see his own code.
        if (isError(error)) Error.captureStackTrace(error);
        throw error;
      },
    );
  }

  #makeHost(isLate: boolean, PromiseClass: typeof Promise): ClientHost {
    const introduce: Introduce = (client) => {
      if (this.#met.has(client)) return false;
      this.#met.add(client);
      return inBackground(() => super.emit('connect', client));
    };
    const isUsers = (listener: object): boolean => !this.#instruments.has(listener);
    const wants = (): boolean => this.listenerCount('connect') > 0 && this.rawListeners('connect').some(isUsers);
    return {
      cluster: this.#cluster,
      intent: this.#intent,
      isLate,
      Promise: PromiseClass,
      newClient: ({ pool }) => newClient(pool),
      opened: (client) => inBackground(() => this.#opened(client)),
      get introduce() {
        return wants() ? introduce : undefined;
      },
    };
  }

  /** In pg-pool's order. */
  async #opened(client: object): Promise<void> {
    const { onConnect, verify } = this.#setUp;
    await onConnect?.(client);
    this.emit('connect', client);
    if (verify === undefined) return;
    await new Promise<void>((resolve, reject) => {
      verify(client, (error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
  }

  /** A pool that was handed in sets up what it connects by its listeners: so they do here. */
  #tellHandedIn(client: PoolClient): void {
    const { pool, ownsPool } = this.#cluster.primary.connections;
    if (!ownsPool) pool.emit('connect', client);
  }

  #asPgPool<T>(call: () => T): T {
    const wasIn = this.#isInPgPool;
    this.#isInPgPool = true;
    try {
      return call();
    } finally {
      this.#isInPgPool = wasIn;
    }
  }

  #released(client: RoutedClient): void {
    const leftOpen = client.released();
    if (client.isTied) this.#stateful.add(client);
    else this.#stateful.delete(client);
    if (leftOpen === undefined) return;
    this.#cluster.warn(() => ({ code: 'released-in-transaction', message: MESSAGES[leftOpen] }));
  }
}
