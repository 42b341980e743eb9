/** createCluster and Cluster: the life of a query, from the call to the rung. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';
import { invalidOptions, LadderError } from './errors.js';
import { type LadderEvents, Publisher } from './events.js';
import { commitPosition } from './execute/commit-position.js';
import { read } from './execute/read.js';
import { write } from './execute/write.js';
import { Floor } from './freshness/floor.js';
import { requirementOf } from './freshness/requirement.js';
import { encodeToken } from './freshness/token.js';
import { Fleet } from './nodes/fleet.js';
import { type ClusterStats, statsOf } from './observe/stats.js';
import {
  type ClusterOptions,
  checkReadOptions,
  checkSessionOptions,
  type ReadOptions,
  type SessionOptions,
  settingsFrom,
} from './options.js';
import { claim, type Session, type SessionRunner, SessionScope } from './session/session.js';

/**
 * Opens a cluster: one primary and its streaming replicas. Returns at once and connects in the background; until the servers
 * have answered, the primary serves the reads.
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function createCluster(options: ClusterOptions): Cluster {
  return new Cluster(options);
}

/** A primary and its replicas as one: made by {@link createCluster}. */
export class Cluster implements AsyncDisposable {
  readonly #fleet: Fleet;
  readonly #publisher = new Publisher();
  readonly #scopes = new AsyncLocalStorage<SessionScope>();
  /** Outside any session the process is the session. */
  readonly #process: SessionScope;
  readonly #runner: SessionRunner;
  readonly #noFloor = new Floor();
  #running = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ClusterOptions) {
    const settings = settingsFrom(options);
    this.#fleet = new Fleet(settings, this.#publisher);
    this.#runner = {
      read: (scope, query, values, readOptions) => this.#read(scope, query, values, readOptions),
      write: (scope, query, values) => this.#write(scope, query, values),
      token: async (scope) => encodeToken(await commitPosition(this.#fleet, scope.floor)),
    };
    this.#process = new SessionScope(this.#runner, this.#fleet.trail, undefined, {}, settings);
    this.#fleet.monitor.start();
  }

  /** `route`, `query` and `node` events; the same are published on `diagnostics_channel` as `pg-ladder:<name>`. */
  get events(): LadderEvents {
    return this.#publisher.emitter;
  }

  /**
   * Runs a statement of which the caller vouches that it only reads, on the cheapest node that is fresh enough: a replica that
   * has everything the session wrote, else the primary. It is run a second time, elsewhere, when the first node is lost under it.
   * @throws pg's own errors, and LadderError `LADDER_NO_CANDIDATE` (only with `target`), `LADDER_INVALID_OPTIONS`, `LADDER_CLOSED`
   */
  read<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>> {
    return this.#read<Row>(this.#scope(), query, values, options);
  }

  /**
   * Runs a statement on the primary, once; the session's later reads see it. Returns when pg does.
   * @throws pg's own errors, and LadderError `LADDER_WRITE_OUTCOME_UNKNOWN` when the connection was lost meanwhile, `LADDER_CLOSED`
   */
  write<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
  ): Promise<QueryResult<Row>> {
    return this.#write<Row>(this.#scope(), query, values);
  }

  /**
   * Runs `fn` within a session of its own, through whatever it awaits: its reads see its writes, what its token stands for, and
   * (unless `inherit: 'none'`) what this process wrote before. Nested sessions start from and fold into the outer one.
   * @throws LadderError `LADDER_INVALID_OPTIONS`
   */
  session<T>(fn: (session: Session) => T, options: SessionOptions = {}): T {
    checkSessionOptions(options);
    const outer = this.#scope();
    const scope = new SessionScope(this.#runner, this.#fleet.trail, outer, options, outer.requirement);
    return this.#scopes.run(scope, fn, scope);
  }

  /** The session that the calling code runs in; `undefined` outside any. */
  currentSession(): Session | undefined {
    return this.#scopes.getStore();
  }

  /** What is known now: every node's state and position, where statements went and why. A snapshot that never changes. */
  stats(): ClusterStats {
    return statsOf(this.#fleet);
  }

  /**
   * Lets what is under way end, then ends the pools that the library made and its own connections. Pools that were handed in stay
   * open. Later calls are refused with `LADDER_CLOSED`; closing again waits for the same end.
   */
  close(): Promise<void> {
    this.#closing ??= this.#drain().then(() => this.#fleet.close());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #scope(): SessionScope {
    return this.#scopes.getStore() ?? this.#process;
  }

  async #read<Row extends QueryResultRow>(
    scope: SessionScope,
    query: string | QueryConfig,
    values: readonly unknown[] | undefined,
    options: ReadOptions | undefined,
  ): Promise<QueryResult<Row>> {
    const startedAt = this.#enter(query);
    try {
      let { floor, requirement } = scope;
      if (options !== undefined) {
        checkReadOptions(options);
        this.#checkTarget(options.target);
        requirement = requirementOf(options, requirement);
      }
      if (requirement.consistency === 'eventual') floor = this.#noFloor;
      if (options?.atLeast !== undefined) {
        floor = new Floor(undefined, floor);
        claim(floor, options.atLeast, this.#fleet.trail);
      }
      const statement = { query, values: values as unknown[] | undefined };
      return await read<Row>(this.#fleet, statement, { floor, requirement, target: options?.target }, startedAt);
    } finally {
      this.#leave();
    }
  }

  async #write<Row extends QueryResultRow>(
    scope: SessionScope,
    query: string | QueryConfig,
    values: readonly unknown[] | undefined,
  ): Promise<QueryResult<Row>> {
    const startedAt = this.#enter(query);
    try {
      return await write<Row>(this.#fleet, { query, values: values as unknown[] | undefined }, scope.floor, startedAt);
    } finally {
      this.#leave();
    }
  }

  #enter(query: unknown): number {
    if (this.#closing !== undefined) {
      throw new LadderError('LADDER_CLOSED', 'the cluster was closed; statements must come before close()');
    }
    if (
      typeof query !== 'string' &&
      (typeof query !== 'object' || query === null || !('text' in query) || 'submit' in query)
    ) {
      throw invalidOptions(
        'expected a text or a query config with a text; cursors and streams need a connection of their own',
      );
    }
    this.#running++;
    const now = performance.now();
    this.#fleet.monitor.used(now);
    return now;
  }

  #leave(): void {
    if (--this.#running === 0) this.#onIdle?.();
  }

  #drain(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #checkTarget(target: ReadOptions['target']): void {
    if (typeof target !== 'object') return;
    const names = this.#fleet.nodes.map((node) => node.name);
    if (names.includes(target.node)) return;
    throw invalidOptions(`read: target.node: expected one of ${names.join(', ')}, got "${target.node}"`);
  }
}
