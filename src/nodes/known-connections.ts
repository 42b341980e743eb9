/**
 * The connections of a node's pool, and who answers on each: a new one is set up, identified and watched before its
 * first statement. It hands none out and asks no server by itself.
 */
import type { Client, Pool, PoolClient } from 'pg';
import { inBackground } from '../async-context.js';
import { clientsOf, connected, dropSocket, idleClientsOf, isReady } from '../postgres/internals.js';
import { PositionRider } from '../postgres/position-rider.js';
import { StatementNames } from '../postgres/statement-names.js';
import { statusReader } from '../postgres/transaction-status.js';
import { unsettledSource } from './answer-source.js';
import type { SourceTally } from './answer-sources.js';
import type { DataConnection } from './data-connection.js';
import { identify, listenForRole } from './identify.js';
import { type Identity, isDirect } from './observation.js';
import { SourceWatch } from './source-watch.js';

/** What the node that owns the connections adds. */
export interface KnownConnectionHooks {
  /** Whether reads of users who default to SERIALIZABLE may be REPEATABLE READ on a standby. */
  readonly mayRelax: boolean;
  /** Runs before a new connection's first statement. */
  readonly setUp: (client: PoolClient) => void | Promise<void>;
  /** Called when an idle connection breaks. */
  readonly onBroken: (error: Error) => void;
  /** Called when the server reports that it became a primary, or a standby. */
  readonly onRoleChange: () => void;
  /** Whether the pool's owner uses it, too. */
  readonly isShared: boolean;
  /** Whether every commit is on disk before it is acknowledged. */
  readonly assumesSynchronousCommit: boolean;
  /** Whether statements may be prepared on it. */
  readonly mayName: (client: PoolClient, identity: Identity) => boolean;
  /** Counts by what connections write their answers; `undefined`: not asked for. */
  readonly sources: SourceTally | undefined;
}

export class KnownConnections {
  readonly #pool: Pool;
  readonly #hooks: KnownConnectionHooks;
  /** `undefined` while a connection is still being identified. */
  readonly #known = new Map<PoolClient, DataConnection | undefined>();
  /** Removes the library's listeners from each client. */
  readonly #stopListening = new Map<PoolClient, () => void>();
  /** Connections opened outside the pool. */
  readonly #guests = new Set<PoolClient>();
  /** Connections that the library closed itself: their errors count against no server. */
  readonly #givenUp = new WeakSet<object>();

  constructor(pool: Pool, hooks: KnownConnectionHooks) {
    this.#pool = pool;
    this.#hooks = hooks;
    // pg kills the process when an idle connection breaks without a listener.
    pool.on('error', this.#onError);
    if (hooks.isShared || hooks.sources !== undefined) pool.on('release', this.#onRelease);
  }

  readonly #onRelease = (_: unknown, client: PoolClient): void => {
    const connection = this.#known.get(client);
    if (connection === undefined) return;
    const { sourceWatch, isTaken } = connection;
    const { isShared } = this.#hooks;
    if (isShared && !isTaken) sourceWatch?.usedByOwner();
    else sourceWatch?.released(() => this.idle.includes(client));
    if (isShared) connection.isTaken = false;
  };

  readonly #onError = (error: Error, client: object): void => {
    if (!this.#givenUp.has(client)) this.#hooks.onBroken(error);
  };

  /** `undefined` for a new client, and while it is being identified. */
  get(client: PoolClient): DataConnection | undefined {
    return this.#known.get(client);
  }

  /** All of the pool, and those opened outside it. The pool alone knows of those that are still being opened. */
  get all(): PoolClient[] {
    const all = (clientsOf(this.#pool) as readonly PoolClient[] | undefined) ?? this.#known.keys();
    return [...all, ...this.#guests];
  }

  get idle(): PoolClient[] {
    return idleClientsOf(this.#pool) as PoolClient[];
  }

  /** Connections that the library has checked out. */
  get taken(): DataConnection[] {
    const idle = new Set(this.idle);
    return this.all.flatMap((client) => {
      const connection = idle.has(client) ? undefined : this.#known.get(client);
      return connection?.isTaken === true ? [connection] : [];
    });
  }

  /** Whether it was opened outside the pool. */
  isGuest(client: PoolClient): boolean {
    return this.#guests.has(client);
  }

  /** Opens a connection outside the pool that may write. It is set up, identified and abandoned like the pool's own. */
  async adopt(client: Client): Promise<DataConnection> {
    const guest = client as PoolClient;
    this.#guests.add(guest);
    client.once('end', () => this.#guests.delete(guest));
    try {
      await connected(client);
      const connection = await this.introduce(guest, true);
      connection.mayWrite = true;
      connection.isTaken = true;
      return connection;
    } catch (error) {
      this.#guests.delete(guest);
      throw error;
    }
  }

  /** Sets a new connection up and finds out who answers on it. Rejects when that fails. */
  introduce(client: PoolClient, mayWrite: boolean): Promise<DataConnection> {
    // It will serve other calls than the one that has it opened.
    return inBackground(() => this.#introduce(client, mayWrite));
  }

  async #introduce(client: PoolClient, mayWrite: boolean): Promise<DataConnection> {
    this.#listenTo(client);
    const status = statusReader(client);
    this.#known.set(client, undefined);
    await this.#hooks.setUp(client);
    const { identity, isRelaxed } = await identify(client, this.#hooks.mayRelax && !mayWrite);
    const mayName = this.#hooks.mayName(client, identity);
    const ofServer = isDirect(client, identity);
    const { sources } = this.#hooks;
    // Nothing is kept of what a primary answers.
    const sourceWatch =
      sources === undefined || mayWrite ? undefined : await SourceWatch.open(client, identity, sources, false);
    const unwatched =
      sources === undefined || sourceWatch !== undefined ? undefined : unsettledSource(client, identity.server);
    const connection = {
      client,
      identity,
      isDirect: ofServer,
      isRelaxed,
      isRefusing: false,
      status,
      cancelling: undefined,
      wasCancelled: false,
      mayWrite: false,
      isLost: false,
      isFailing: false,
      idleLoss: undefined,
      wasGivenUp: false,
      wasAbandoned: false,
      isTaken: false,
      names: mayName ? StatementNames.of(client) : undefined,
      rider: mayName && ofServer ? PositionRider.of(client, this.#hooks.assumesSynchronousCommit) : undefined,
      get source() {
        return sourceWatch === undefined ? unwatched : sourceWatch.source;
      },
      sourceWatch,
    };
    this.#known.set(client, connection);
    return connection;
  }

  /** The server's sessions are SERIALIZABLE by default now. Connections from before are replaced at their next checkout. */
  replaceUnrelaxed(): void {
    for (const connection of this.#known.values())
      if (connection !== undefined) connection.isRefusing ||= !connection.isRelaxed;
  }

  /** Closes one whose server does not answer there any more. */
  giveUp(client: PoolClient): void {
    const connection = this.#known.get(client);
    if (connection !== undefined) connection.wasGivenUp = true;
    this.#givenUp.add(client);
    dropSocket(client);
  }

  /** Ends the connections of a server that hangs. @param sparesWrites leaves those on which a write is under way */
  abandon(sparesWrites: boolean): void {
    // An idle connection has no write under way, whatever ran there before.
    const idle = new Set(this.idle);
    for (const client of this.all) {
      const connection = this.#known.get(client);
      if (sparesWrites && connection?.mayWrite === true && !idle.has(client)) continue;
      if (connection !== undefined) connection.wasAbandoned = true;
      dropSocket(client);
    }
  }

  /** Ends those that are {@link taken}, whatever runs there. */
  dropTaken(): void {
    for (const connection of this.taken) {
      connection.wasAbandoned = true;
      dropSocket(connection.client);
    }
  }

  /** Stops listening. @param hasEnded whether the pool has ended, and does not live on with its owner */
  close(hasEnded: boolean): void {
    // Connections that are ending may still break.
    if (hasEnded) this.#pool.on('error', () => undefined);
    else for (const stop of this.#stopListening.values()) stop();
    this.#pool.removeListener('error', this.#onError);
    this.#pool.removeListener('release', this.#onRelease);
    for (const connection of this.#known.values()) connection?.sourceWatch?.end();
    this.#known.clear();
    this.#stopListening.clear();
  }

  #listenTo(client: PoolClient): void {
    const onError = (error: Error): void => {
      const known = this.#known.get(client);
      // The server's own error comes first, the end of the connection after it.
      if (known !== undefined && isReady(client)) known.idleLoss ??= error;
      if (known?.isFailing !== true) this.#onError(error, client);
    };
    const onEnd = (): void => {
      this.#known.delete(client);
      this.#stopListening.delete(client);
    };
    // pg-pool stops listening while a client is checked out, and an unheard error kills the process.
    client.on('error', onError);
    client.once('end', onEnd);
    const stopRole = listenForRole(client, this.#hooks.onRoleChange);
    this.#stopListening.set(client, () => {
      client.removeListener('error', onError);
      client.removeListener('end', onEnd);
      stopRole();
    });
  }
}
