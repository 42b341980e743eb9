/**
 * A node's shared connections: opened when the first statement asks, and anew after a loss, each time later. Where they cannot be had, or would bypass what the
 * user sets up on connections, there are none, and the pool serves everything.
 */

import type { Client, Pool, PoolClient } from 'pg';
import { inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import type { LaneSettings } from '../options/cluster.js';
import { connected, dropSocket } from '../postgres/internals.js';
import { ownClient, refusesName } from '../postgres/own-client.js';
import { CAP_STATEMENTS } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import type { SourceTally } from './answer-sources.js';
import { identify, listenForRole } from './identify.js';
import { LaneConnection, type LaneManner } from './lane-connection.js';
import { isDirect } from './observation.js';
import { SourceWatch } from './source-watch.js';

/** What a statement may take there, on the server: it is then run again elsewhere. */
const STATEMENT_MILLIS = 250;
/** A statement that is not answered by then, where the server answers others, may never be. */
const SILENT_MILLIS = 200;
const RETRY_MILLIS = 100;
const RETRY_CAP_MILLIS = 30_000;

type PipelinedClient = ConstructorParameters<typeof LaneConnection>[0];

export interface LaneOptions extends LaneSettings {
  /** `undefined`: unless something speaks against it. */
  readonly isWanted: boolean | undefined;
  /** Whether the pool is the library's own: a `connect` listener there is not the user's, but of its instrumentation. */
  readonly ownsPool: boolean;
  readonly namedStatements: boolean | undefined;
  /** See {@link KnownConnectionHooks.mayRelax}. */
  readonly mayRelax: boolean;
  /** See {@link KnownConnectionHooks.sources}. */
  readonly sources: SourceTally | undefined;
}

/** What the node that owns the lane adds. */
export interface LaneHooks {
  /** Before a new connection's first statement. */
  readonly setUp: (client: PoolClient) => void | Promise<void>;
  /** The way to the server and back. */
  readonly roundTripMillis: () => number;
  /** A trivial statement would have been answered after so long. */
  readonly took: LaneManner['took'];
  /** A connection was lost, and with it what was under way. */
  readonly lost: (error: Error) => void;
  /** The server pushed that it is no standby any more, or is one now. */
  readonly changedRole: () => void;
}

export class Lane {
  readonly #pool: Pool;
  readonly #options: LaneOptions;
  readonly #hooks: LaneHooks;
  readonly #connections: LaneConnection[] = [];
  readonly #opening = new Set<Client>();
  #failures = 0;
  #takenCount = 0;
  #retryAt = Number.NEGATIVE_INFINITY;
  #isClosed: boolean;
  /** Whether its connections have a name of their own: unless a pooler takes none. */
  #isNamed = true;

  constructor(pool: Pool, options: LaneOptions, hooks: LaneHooks) {
    this.#pool = pool;
    this.#options = options;
    this.#hooks = hooks;
    this.#isClosed = options.isWanted === false;
  }

  get connectionCount(): number {
    return this.#connections.length;
  }

  get inFlight(): number {
    return this.#connections.reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  /** Statements that went there since the start. */
  get statementCount(): number {
    return this.#takenCount;
  }

  /** The one that has least to do, of those that take one more statement now. @param server which it must reach; one that reaches another is given up */
  take(server: string): LaneConnection | undefined {
    const { length } = this.#connections;
    if (length + this.#opening.size < this.#options.connections && !this.#isClosed) this.#open();
    let best: LaneConnection | undefined;
    for (let i = 0; i < length; i++) {
      const connection = this.#connections[i] as LaneConnection;
      if (connection.hasRoom && (best === undefined || connection.inFlight < best.inFlight)) best = connection;
    }
    if (best === undefined) return undefined;
    if (best.identity.server !== server) {
      this.#dismiss(best);
      return undefined;
    }
    this.#failures = 0;
    this.#takenCount++;
    return best;
  }

  /** Whether they still live is unknown. */
  doubt(): void {
    for (const connection of this.#connections) connection.doubt();
  }

  /**
   * The server answers elsewhere. What it does not answer here is run again; what is idle is tried.
   * @param isElsewhere whether it was silent on an old connection, and answers on a new one: these are no better then
   * @param tryIt sends something on it
   */
  giveUpSilent(now: number, isElsewhere: boolean, tryIt: (connection: LaneConnection) => void): void {
    for (const connection of this.#connections.filter((one) => one.isDoubted)) {
      if (isElsewhere || connection.waitedMillis(now) > SILENT_MILLIS) {
        // Out of the list first: it is no loss that would have to be told.
        this.#remove(connection);
        connection.drop();
      } else if (connection.inFlight === 0) tryIt(connection);
    }
  }

  abandon(): void {
    for (const client of this.#opening) dropSocket(client);
    // Out of the list first: it is no loss that would have to be told.
    for (const connection of this.#connections.splice(0)) connection.drop();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const client of this.#opening) dropSocket(client);
    await Promise.all(this.#connections.map((connection) => connection.end()));
  }

  #open(): void {
    if (performance.now() < this.#retryAt) return;
    inBackground(() => this.#connect()).catch(() => this.#postpone());
  }

  /** The next one may do better. */
  #dismiss(connection: LaneConnection): void {
    if (!this.#remove(connection)) return;
    this.#postpone();
    connection.end().catch(() => undefined);
  }

  #postpone(): void {
    this.#retryAt = performance.now() + Math.min(RETRY_MILLIS * 2 ** this.#failures++, RETRY_CAP_MILLIS);
  }

  async #connect(): Promise<void> {
    const client = this.#newClient();
    if (client === undefined) {
      this.#isClosed = true;
      return;
    }
    const { namedStatements, isWanted, maxInFlight, sources } = this.#options;
    let connection: LaneConnection | undefined;
    const lost = (error: Error): void => {
      if (connection !== undefined && this.#remove(connection) && !this.#isClosed) this.#hooks.lost(error);
    };
    client.on('error', lost);
    client.on('end', () => lost(new Error('a shared connection ended')));
    listenForRole(client, this.#hooks.changedRole);
    this.#opening.add(client);
    try {
      client.unref();
      await connected(client);
      client.unref();
      await this.#hooks.setUp(client as unknown as PoolClient);
      const { identity } = await identify(client, this.#options.mayRelax);
      // Behind a pooler each statement may meet another connection: what was set up here holds for none of them.
      const isOurs = isDirect(client, identity);
      if (!isOurs && isWanted !== true) this.#isClosed = true;
      const sourceWatch =
        sources === undefined || this.#isClosed ? undefined : await SourceWatch.open(client, identity, sources, true);
      if (this.#isClosed) throw new Error('no shared connection is wanted');
      // There, a cap would stay on a connection that other applications are given later.
      const isCapped = isOurs && (await capped(client));
      const manner: LaneManner = {
        maxInFlight,
        isNaming: namedStatements ?? isOurs,
        isCapped,
        roundTripMillis: this.#hooks.roundTripMillis,
        took: this.#hooks.took,
        refused: () => this.#dismiss(opened),
      };
      const opened = new LaneConnection(client, identity, manner, sourceWatch);
      connection = opened;
      this.#connections.push(opened);
    } catch (error) {
      if (refusesName(error)) this.#isNamed = false;
      dropSocket(client);
      throw error;
    } finally {
      this.#opening.delete(client);
    }
  }

  /** As the pool makes its own clients, and with statements in flight; `undefined` where that cannot or should not be. */
  #newClient(): PipelinedClient | undefined {
    const pool = this.#pool;
    const { options } = pool as unknown as { options: { onConnect?: unknown; verify?: unknown } };
    const { ownsPool } = this.#options;
    const isHeard = !ownsPool && pool.listenerCount('connect') > 0;
    const hasSetUp = isHeard || options.onConnect !== undefined || options.verify !== undefined;
    if (hasSetUp && this.#options.isWanted !== true) return undefined;
    // A read timeout would take all that is under way with it.
    const config = { pipeline: true, query_timeout: undefined };
    const client = ownClient<PipelinedClient & { pipeline?: boolean }>(
      pool,
      this.#isNamed ? 'lane' : undefined,
      config,
    );
    return client.pipeline === true ? client : undefined;
  }

  #remove(connection: LaneConnection): boolean {
    const at = this.#connections.indexOf(connection);
    if (at >= 0) this.#connections.splice(at, 1);
    return at >= 0;
  }
}

/** Bounds how long a statement runs there. @returns whether it was not bounded as much already */
async function capped(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ is_capped: boolean }>(question(CAP_STATEMENTS, [STATEMENT_MILLIS]));
  return rows[0]?.is_capped === true;
}
