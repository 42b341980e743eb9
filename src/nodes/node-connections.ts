/**
 * All connections of a node that carry users' statements, those of its pool and the shared ones of its lane: how they
 * are taken, cancelled and let go. Which statement runs where is decided elsewhere.
 */
import type { Client, Pool, PoolClient } from 'pg';
import { inBackground } from '../async-context.js';
import { clearTimeout, setTimeout } from '../clock.js';
import type { Settings } from '../options/cluster.js';
import type { NodeSettings } from '../options/servers.js';
import { cancelWhileBusy } from '../postgres/cancel.js';
import { WaitCancelled } from '../postgres/errors.js';
import type { AdminQueries } from './admin-queries.js';
import { SourceTally } from './answer-sources.js';
import { type CheckedOut, CheckoutQueue } from './checkout-queue.js';
import type { DataConnection } from './data-connection.js';
import { KnownConnections } from './known-connections.js';
import { Lane, type LaneHooks } from './lane.js';
import type { LaneConnection } from './lane-connection.js';
import { isDirect } from './observation.js';
import { SuspectConnections } from './suspect-connections.js';

/** In hang bounds: how long a pooler is asked again to cancel what still runs. */
const PERSISTENCE = 4;

/** What the node that owns the connections adds. */
export interface ConnectionHooks extends Omit<LaneHooks, 'lost' | 'changedRole'> {
  /** Called when an idle connection of the pool breaks. */
  readonly onBroken: (error: Error) => void;
  /** Called when a shared connection is lost. */
  readonly onSharedLost: () => void;
  /** Called when the server reports that it became a primary, or a standby. */
  readonly onRoleChange: () => void;
  /** Called when connections write their answers otherwise than before. */
  readonly onSourcesChange: () => void;
}

export class NodeConnections {
  readonly pool: Pool;
  /** Whether the library made the pool, and ends it. */
  readonly ownsPool: boolean;
  readonly lane: Lane;
  /** By what its connections write their answers; `undefined`: not asked for. */
  readonly sources: SourceTally | undefined;
  readonly #name: string;
  readonly #hangMillis: number;
  readonly #adminQueries: AdminQueries;
  readonly #known: KnownConnections;
  readonly #suspects: SuspectConnections;
  readonly #queue: CheckoutQueue;

  constructor(
    { name, pool, ownsPool, lane }: NodeSettings,
    settings: Settings,
    adminQueries: AdminQueries,
    { onBroken, onSharedLost, onRoleChange, onSourcesChange, setUp, roundTripMillis, took }: ConnectionHooks,
  ) {
    const { hangMillis, namedStatements } = settings;
    const mayRelax = settings.onSerializableDefault === 'repeatableRead';
    this.pool = pool;
    this.ownsPool = ownsPool;
    this.#name = name;
    this.#hangMillis = hangMillis;
    this.#adminQueries = adminQueries;
    const sources = settings.cache !== undefined ? new SourceTally(onSourcesChange) : undefined;
    this.sources = sources;
    this.#known = new KnownConnections(pool, {
      mayRelax,
      setUp,
      onBroken,
      onRoleChange,
      isShared: !ownsPool,
      assumesSynchronousCommit: settings.assumeSynchronousCommit,
      mayName: (client: PoolClient, identity) => namedStatements ?? isDirect(client, identity),
      sources,
    });
    this.#suspects = new SuspectConnections(this.#known, hangMillis);
    this.#queue = new CheckoutQueue(pool, this.#known, this.#suspects);
    this.lane = new Lane(
      pool,
      { ...settings.lane, isWanted: lane, ownsPool, namedStatements, mayRelax, sources },
      { setUp, roundTripMillis, took, lost: onSharedLost, changedRole: onRoleChange },
    );
  }

  /** See {@link CheckoutQueue.isStalled}. */
  get isStalled(): boolean {
    return this.#queue.isStalled;
  }

  /** See {@link CheckoutQueue.checkout}. */
  checkout(mayWrite: boolean, done: CheckedOut): void {
    this.#queue.checkout(mayWrite, done);
  }

  /** See {@link KnownConnections.adopt}. */
  adopt(client: Client): Promise<DataConnection> {
    return this.#known.adopt(client);
  }

  /** Asks the server to stop what runs on that connection; it may have ended by itself. */
  cancel(connection: DataConnection): void {
    connection.wasCancelled = true;
    if (connection.isDirect) this.#adminQueries.cancel(connection.identity.pid);
    else
      connection.cancelling ??= inBackground(() =>
        cancelWhileBusy(this.pool, connection.client, this.#hangMillis, PERSISTENCE * this.#hangMillis),
      );
  }

  /** Asks the server to stop everything that the library runs there, and sends those who wait away. */
  cancelAll(): void {
    for (const connection of this.#known.taken) this.cancel(connection);
    this.#queue.sendAway(new WaitCancelled('the cluster is closed'));
  }

  /** Whether that connection may be dead without a sign of it. */
  isSuspect(client: object): boolean {
    return this.#suspects.has(client);
  }

  /** Any connection may be dead now: the server was silent, or the process did not run. */
  suspectAll(): void {
    this.#suspects.suspectAll();
    this.lane.doubt();
  }

  /**
   * The server has answered on the library's own connection: those on which it does not answer are given up.
   * @param isElsewhere whether it was silent on an old connection, and answers on a new one
   * @param tryIt sends something on a shared connection
   */
  giveUpSilent(now: number, isElsewhere: boolean, tryIt: (connection: LaneConnection) => void): void {
    this.lane.giveUpSilent(now, isElsewhere, tryIt);
    if (this.#suspects.count === 0) return;
    if (isElsewhere) {
      this.#suspects.giveUpReplaceable();
      this.#queue.sendAway(new WaitCancelled('a connection was not answered any more'));
    }
    this.#suspects.investigate(this.#adminQueries, isElsewhere);
  }

  /** See {@link KnownConnections.replaceUnrelaxed}. */
  replaceUnrelaxed(): void {
    this.#known.replaceUnrelaxed();
  }

  /** Lets time pass. */
  pass(now: number): void {
    this.#queue.checkStall(now);
    // pg-pool does not tell waiters when it is ended.
    if (this.pool.ending) this.relieve();
  }

  /** Sends those who wait for a connection of a pool that stands still elsewhere. */
  relieve(): void {
    this.#queue.sendAway(new WaitCancelled(`no connection of node "${this.#name}" has become free`));
  }

  /** Ends the connections of a server that hangs or was superseded. @param sparesWrites leaves those whose write may still be answered */
  abandon(sparesWrites: boolean): void {
    this.#abandon(new WaitCancelled(`node "${this.#name}" does not answer`), sparesWrites);
  }

  /** Closes all connections that the library uses, with what has not stopped. */
  dropAll(): void {
    if (this.ownsPool) {
      this.#abandon(new WaitCancelled('the cluster is closed'), false);
      return;
    }
    this.lane.abandon();
    this.#known.dropTaken();
  }

  /** Ends what the library opened; a pool that was handed in stays open. A server that hangs answers no goodbye and gets none. */
  async close(): Promise<void> {
    const impatient = setTimeout(() => (this.ownsPool ? this.abandon(false) : this.lane.abandon()), this.#hangMillis);
    await Promise.all([this.lane.close(), this.ownsPool && !this.pool.ending ? this.pool.end() : undefined]);
    clearTimeout(impatient);
    this.#suspects.close();
    this.#known.close(this.ownsPool);
  }

  #abandon(error: WaitCancelled, sparesWrites: boolean): void {
    this.lane.abandon();
    this.#known.abandon(sparesWrites);
    this.#queue.sendAway(error);
  }
}
