/**
 * A node's pool as the library uses it: who answers on each connection, who waits for one, and how both are let go when the server behind
 * it hangs or its pool stands still: the pool itself would let them wait for ever.
 */
import type { EventEmitter } from 'node:events';
import type { Client, Pool, PoolClient } from 'pg';
import { connected, dropSocket } from './control-connection.js';
import { type Identity, type IdentityRow, identityFrom, isDirect } from './observation.js';
import { question } from './plain-types.js';
import { StatementNames } from './statement-names.js';
import { IDENTITY } from './statements.js';

/** A connection checked out of a node's pool, and who answers on it. */
export interface DataConnection {
  readonly client: PoolClient;
  readonly identity: Identity;
  /** Whether no pooler stands between, so that its process id means its server's process for as long as it lives. */
  readonly isDirect: boolean;
  /** Until the server was asked to stop what runs on it. */
  cancelling: Promise<void> | undefined;
  /** Whether the server was asked to stop what runs on it: that may come late, and hit whatever runs there next. */
  wasCancelled: boolean;
  /** Whether what runs on it may write: such a statement is not cut off as long as its server may still answer. */
  mayWrite: boolean;
  /** Whether it went away under its last statement, so that nobody knows what became of that. */
  isLost: boolean;
  /** Whether a statement has failed on it that may have taken it along: its end, if it comes now, is told by that statement. */
  isFailing: boolean;
  /** The statements it has prepared; `undefined` where it shall prepare none. */
  readonly names: StatementNames | undefined;
}

/** Nobody knows what state it is in: it is closed, though not before the server was asked to stop what runs there. */
export function throwAway({ client, cancelling }: DataConnection): void {
  if (cancelling === undefined) client.release(true);
  else void cancelling.finally(() => client.release(true));
}

/** Called once, with pg's error when there is no connection to be had, or with why the one who waited was sent away. */
export type CheckedOut = (error: unknown, connection: DataConnection | undefined) => void;

interface Waiter {
  /** Unset when it was sent away. */
  done: CheckedOut | undefined;
  /** Where it stands in the queue: every statement passes through, so nothing is searched or hashed. */
  place: number;
}

/** Why somebody who waited for a connection got none: nothing was sent, and nothing new is known of the server. */
export class SentAway extends Error {}

/** What the node that owns the connections adds. */
export interface ConnectionHooks {
  /** Before a new connection's first statement. */
  readonly setUp: (client: PoolClient) => void | Promise<void>;
  /** A connection broke while nobody was using it. */
  readonly broke: (error: Error) => void;
  /** The server pushed that it is no standby any more, or is one now. */
  readonly changedRole: () => void;
  /** Whether statements may be prepared on it. */
  readonly mayName: (client: PoolClient, identity: Identity) => boolean;
}

/** A full pool that hands out nothing for so long stands still. */
const STALL_MILLIS = 100;

export class DataConnections {
  readonly #pool: Pool;
  readonly #hooks: ConnectionHooks;
  readonly #known = new Map<PoolClient, DataConnection | undefined>();
  /** How to stop listening to each. */
  readonly #heard = new Map<PoolClient, () => void>();
  /** Connections opened outside the pool. */
  readonly #guests = new Set<PoolClient>();
  readonly #waiters: Waiter[] = [];
  #servedCount = 0;
  #servedBefore = 0;
  #movedAt = performance.now();
  #isStalled = false;

  constructor(pool: Pool, hooks: ConnectionHooks) {
    this.#pool = pool;
    this.#hooks = hooks;
    // pg kills the process when an idle connection breaks and nobody listens.
    pool.on('error', hooks.broke);
  }

  /** Whether every connection is busy, and has been for a while: whoever joins the queue will wait. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** Takes a connection out of the pool, and knows who answers on it. No promise: it runs for every write. */
  checkout(mayWrite: boolean, done: CheckedOut): void {
    const waiter: Waiter = { done, place: this.#waiters.length };
    this.#waiters.push(waiter);
    const settle = (connection: DataConnection): void => {
      if (waiter.done === undefined) {
        connection.client.release();
        return;
      }
      this.#leave(waiter);
      connection.mayWrite = mayWrite;
      done(undefined, connection);
    };
    const fail = (error: unknown): void => {
      if (waiter.done === undefined) return;
      this.#leave(waiter);
      done(error, undefined);
    };
    this.#pool.connect((error, client) => {
      this.#servedCount++;
      if (client === undefined) {
        fail(error);
        return;
      }
      const connection = this.#known.get(client);
      if (connection !== undefined) {
        settle(connection);
        return;
      }
      this.#introduce(client).then(settle, (reason: unknown) => {
        client.release(true);
        fail(reason);
      });
    });
  }

  /** Opens a connection that is not the pool's, and that may write: set up, known, and let go with the server as the pool's own are. */
  async adopt(client: Client): Promise<DataConnection> {
    const guest = client as PoolClient;
    this.#guests.add(guest);
    client.once('end', () => this.#guests.delete(guest));
    try {
      await connected(client);
      const connection = await this.#introduce(guest);
      connection.mayWrite = true;
      return connection;
    } catch (error) {
      this.#guests.delete(guest);
      throw error;
    }
  }

  /** Looks whether the pool stands still; called now and then. */
  look(now: number): void {
    const { totalCount, idleCount, options } = this.#pool;
    const isFull = idleCount === 0 && totalCount >= (options?.max ?? Number.POSITIVE_INFINITY);
    if (!isFull || this.#servedCount !== this.#servedBefore) {
      this.#servedBefore = this.#servedCount;
      this.#movedAt = now;
    }
    this.#isStalled = now - this.#movedAt >= STALL_MILLIS;
  }

  /** Sends everybody who waits for a connection elsewhere. */
  sendAway(error: SentAway): void {
    for (const waiter of this.#waiters.splice(0)) {
      const { done } = waiter;
      waiter.done = undefined;
      done?.(error, undefined);
    }
  }

  /** Ends the connections of a server that hangs, so that whoever waits for it finds another. @param sparesWrites leaves those that may write */
  abandon(error: SentAway, sparesWrites: boolean): void {
    // Those that are still being opened are known to the pool alone.
    const { _clients: all = [...this.#known.keys()] } = this.#pool as Pool & { _clients?: readonly PoolClient[] };
    for (const client of [...all, ...this.#guests]) {
      if (!sparesWrites || this.#known.get(client)?.mayWrite !== true) dropSocket(client);
    }
    this.sendAway(error);
  }

  /** @param isOver whether the pool has ended, and does not live on with its owner */
  close(isOver: boolean): void {
    // Connections that are ending may still break.
    if (isOver) this.#pool.on('error', () => undefined);
    else for (const stop of this.#heard.values()) stop();
    this.#pool.removeListener('error', this.#hooks.broke);
    this.#known.clear();
    this.#heard.clear();
  }

  async #introduce(client: PoolClient): Promise<DataConnection> {
    const { changedRole } = this.#hooks;
    const broke = (error: Error): void => {
      if (this.#known.get(client)?.isFailing !== true) this.#hooks.broke(error);
    };
    const ended = (): void => {
      this.#known.delete(client);
      this.#heard.delete(client);
    };
    // pg-pool stops listening while a client is checked out, and an error that nobody hears kills the process.
    client.on('error', broke);
    client.once('end', ended);
    const stopListening = listenForRole(client, changedRole);
    this.#known.set(client, undefined);
    this.#heard.set(client, () => {
      client.removeListener('error', broke);
      client.removeListener('end', ended);
      stopListening();
    });
    await this.#hooks.setUp(client);
    const results = [await client.query<IdentityRow>(question(IDENTITY))].flat();
    const identity = identityFrom(results.at(-1)?.rows[0], client);
    const names = this.#hooks.mayName(client, identity) ? StatementNames.of(client) : undefined;
    const connection = {
      client,
      identity,
      isDirect: isDirect(client, identity),
      cancelling: undefined,
      wasCancelled: false,
      mayWrite: false,
      isLost: false,
      isFailing: false,
      names,
    };
    this.#known.set(client, connection);
    return connection;
  }

  #leave(waiter: Waiter): void {
    const last = this.#waiters.pop();
    if (last === undefined || last === waiter) return;
    this.#waiters[waiter.place] = last;
    last.place = waiter.place;
  }
}

/** PostgreSQL reports `in_hot_standby` by itself when it changes; pg keeps it to itself, and its native client does not tell. @returns what stops it */
export function listenForRole(client: object, changed: () => void): () => void {
  const { connection } = client as { connection?: Partial<Pick<EventEmitter, 'on' | 'removeListener'>> };
  const heard = ({ parameterName }: { parameterName?: string }): void => {
    if (parameterName === 'in_hot_standby') changed();
  };
  connection?.on?.('parameterStatus', heard);
  return () => connection?.removeListener?.('parameterStatus', heard);
}
