/**
 * A node's pool as the library uses it: who answers on each connection, who waits for one, and how both are let go when the server behind
 * it hangs or its pool stands still: the pool itself would let them wait for ever.
 */

import type { Client, Pool, PoolClient } from 'pg';
import { clearTimeout, performance, setImmediate, setTimeout } from '../clock.js';
import { WaitCancelled } from '../postgres/errors.js';
import {
  clientsOf,
  connected,
  dropSocket,
  idleClientsOf,
  isBusy,
  isReady,
  listenForSettings,
} from '../postgres/internals.js';
import { IDENTITY } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import { StatementNames } from '../postgres/statement-names.js';
import { type ReadStatus, statusReader } from '../postgres/transaction-status.js';
import { identify } from './identify.js';
import { type Identity, isDirect } from './observation.js';
import { type Inquiry, type Suspect, Suspects } from './suspects.js';

/** A connection checked out of a node's pool, and who answers on it. */
export interface DataConnection {
  readonly client: PoolClient;
  readonly identity: Identity;
  /** Whether no pooler stands between, so that its process id means its server's process for as long as it lives. */
  readonly isDirect: boolean;
  /** See {@link Identified.isRelaxed}. Its server was a standby then, and writes that come after a promotion are to be what their user has set. */
  readonly isRelaxed: boolean;
  /** Whether its server, a standby, refuses what runs there since it would be SERIALIZABLE: it is replaced before it serves again. */
  isRefusing: boolean;
  /** Whether it is in a transaction. */
  readonly status: ReadStatus;
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
  /** Why it was lost, where nothing was under way on it: whatever transaction was open there is rolled back. */
  idleLoss: unknown;
  /** Whether it was closed here, since nothing came on it any more: that says nothing of its server, nor of the statement. */
  wasGivenUp: boolean;
  /** Whether it was closed here, since its server gave no answer. */
  wasAbandoned: boolean;
  /** Whether it was handed out here, and not by the pool's owner to himself. */
  isTaken: boolean;
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

/** What the node that owns the connections adds. */
export interface ConnectionHooks {
  /** After so long without an answer, a connection that is tried does not live. */
  readonly hangMillis: number;
  /** Whether reads of those who default to SERIALIZABLE may be REPEATABLE READ on a standby. */
  readonly mayRelax: boolean;
  /** Before a new connection's first statement. */
  readonly setUp: (client: PoolClient) => void | Promise<void>;
  /** A connection broke while nobody was using it. */
  readonly broke: (error: Error) => void;
  /** The server pushed that it is no standby any more, or is one now. */
  readonly changedRole: () => void;
  /** Whether the pool has an owner who uses it, too. */
  readonly isShared: boolean;
  /** Whether statements may be prepared on it. */
  readonly mayName: (client: PoolClient, identity: Identity) => boolean;
}

/** A write is given up when its backend was found to be idle more often than that, a second apart. */
const PATIENCE = 2;
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
  readonly #suspects = new Suspects();
  /** Connections that the library closed itself: their errors count against no server. */
  readonly #givenUp = new WeakSet<object>();
  #isElsewhere = false;
  readonly #waiters: Waiter[] = [];
  #servedCount = 0;
  #servedBefore = 0;
  #movedAt = performance.now();
  #isStalled = false;

  constructor(pool: Pool, hooks: ConnectionHooks) {
    this.#pool = pool;
    this.#hooks = hooks;
    // pg kills the process when an idle connection breaks and nobody listens.
    pool.on('error', this.#broke);
    if (hooks.isShared) pool.on('release', this.#released);
  }

  readonly #released = (_: unknown, client: PoolClient): void => {
    const connection = this.#known.get(client);
    if (connection !== undefined) connection.isTaken = false;
  };

  readonly #broke = (error: Error, client: object): void => {
    if (!this.#givenUp.has(client)) this.#hooks.broke(error);
  };

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
      connection.isTaken = true;
      done(undefined, connection);
    };
    const tried = (connection: DataConnection): void => {
      // What is sent on a dead connection may have been done, as far as anybody can tell.
      if (!mayWrite || !this.doubts(connection.client)) settle(connection);
      else
        this.#proven(connection).then(
          () => settle(connection),
          () => waiter.done !== undefined && this.#pool.connect(served),
        );
    };
    const fail = (error: unknown): void => {
      if (waiter.done === undefined) return;
      this.#leave(waiter);
      done(error, undefined);
    };
    const served = (error: Error | undefined, client: PoolClient | undefined): void => {
      this.#servedCount++;
      if (client === undefined) {
        fail(error);
        return;
      }
      const connection = this.#known.get(client);
      if (connection !== undefined && (connection.isRefusing || (connection.isRelaxed && mayWrite))) {
        client.release(true);
        if (waiter.done !== undefined) this.#pool.connect(served);
        return;
      }
      if (connection !== undefined) {
        tried(connection);
        return;
      }
      this.#introduce(client, mayWrite).then(settle, (reason: unknown) => {
        client.release(true);
        fail(reason);
      });
    };
    this.#pool.connect(served);
  }

  /** Opens a connection that is not the pool's, and that may write: set up, known, and let go with the server as the pool's own are. */
  async adopt(client: Client): Promise<DataConnection> {
    const guest = client as PoolClient;
    this.#guests.add(guest);
    client.once('end', () => this.#guests.delete(guest));
    try {
      await connected(client);
      const connection = await this.#introduce(guest, true);
      connection.mayWrite = true;
      connection.isTaken = true;
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
  sendAway(error: WaitCancelled): void {
    for (const waiter of this.#waiters.splice(0)) {
      const { done } = waiter;
      waiter.done = undefined;
      done?.(error, undefined);
    }
  }

  /** To be called after a pause: each open connection is checked before it is used again. */
  suspect(): void {
    this.#suspects.add(this.#all);
  }

  /** The server's sessions are SERIALIZABLE by default now: those that were opened before are replaced when they are next asked for. */
  replaceUnrelaxed(): void {
    for (const connection of this.#known.values())
      if (connection !== undefined) connection.isRefusing ||= !connection.isRelaxed;
  }

  /** Whether a connection may be dead without anybody having been told. */
  doubts(client: object): boolean {
    return this.#suspects.count > 0 && this.#suspects.has(client);
  }

  /**
   * The server answers again: connections on which it does not are given up.
   * @param isElsewhere whether it was silent on an old connection, and answers on a new one: what else is idle is no better then
   */
  judge(inquiry: Inquiry, isElsewhere: boolean): void {
    if (this.#suspects.count === 0) return;
    if (isElsewhere) this.#giveUpWhatCostsNothing();
    this.#isElsewhere = isElsewhere;
    void this.#suspects
      .judge(inquiry, {
        describe: (client) => this.#described(client as PoolClient),
        giveUp: (client) => this.#giveUp(client as PoolClient),
        isUrgent: isElsewhere,
      })
      .catch(() => undefined);
  }

  /** Ends the connections of a server that hangs, so that whoever waits for it finds another. @param sparesWrites leaves those that may write */
  abandon(error: WaitCancelled, sparesWrites: boolean): void {
    // What runs on them no more is no write, whatever did.
    const idle = new Set(this.#idle);
    for (const client of this.#all) {
      const connection = this.#known.get(client);
      if (sparesWrites && connection?.mayWrite === true && !idle.has(client)) continue;
      if (connection !== undefined) connection.wasAbandoned = true;
      dropSocket(client);
    }
    this.sendAway(error);
  }

  /** Connections that were handed out here and did not come back. */
  get taken(): DataConnection[] {
    const idle = new Set(this.#idle);
    return this.#all.flatMap((client) => {
      const connection = idle.has(client) ? undefined : this.#known.get(client);
      return connection?.isTaken === true ? [connection] : [];
    });
  }

  /** Ends those that are {@link taken}, whatever runs there. */
  dropTaken(): void {
    for (const connection of this.taken) {
      connection.wasAbandoned = true;
      dropSocket(connection.client);
    }
  }

  /** @param isOver whether the pool has ended, and does not live on with its owner */
  close(isOver: boolean): void {
    // Connections that are ending may still break.
    if (isOver) this.#pool.on('error', () => undefined);
    else for (const stop of this.#heard.values()) stop();
    this.#pool.removeListener('error', this.#broke);
    this.#pool.removeListener('release', this.#released);
    this.#suspects.close();
    this.#known.clear();
    this.#heard.clear();
  }

  async #introduce(client: PoolClient, mayWrite: boolean): Promise<DataConnection> {
    const { changedRole } = this.#hooks;
    const broke = (error: Error): void => {
      const known = this.#known.get(client);
      // The server's own word comes first, and then that its connection has ended.
      if (known !== undefined && isReady(client)) known.idleLoss ??= error;
      if (known?.isFailing !== true) this.#broke(error, client);
    };
    const ended = (): void => {
      this.#known.delete(client);
      this.#heard.delete(client);
    };
    // pg-pool stops listening while a client is checked out, and an error that nobody hears kills the process.
    client.on('error', broke);
    client.once('end', ended);
    const stopListening = listenForRole(client, changedRole);
    const status = statusReader(client);
    this.#known.set(client, undefined);
    this.#heard.set(client, () => {
      client.removeListener('error', broke);
      client.removeListener('end', ended);
      stopListening();
    });
    await this.#hooks.setUp(client);
    const { identity, isRelaxed } = await identify(client, this.#hooks.mayRelax && !mayWrite);
    const names = this.#hooks.mayName(client, identity) ? StatementNames.of(client) : undefined;
    const connection = {
      client,
      identity,
      isDirect: isDirect(client, identity),
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
      names,
    };
    this.#known.set(client, connection);
    return connection;
  }

  /** Those that are still being opened are known to the pool alone. */
  get #all(): PoolClient[] {
    const all = (clientsOf(this.#pool) as readonly PoolClient[] | undefined) ?? this.#known.keys();
    return [...all, ...this.#guests];
  }

  #described(client: PoolClient): Suspect | undefined {
    const connection = this.#known.get(client);
    if (connection === undefined || !isBusy(client)) return undefined;
    const { mayWrite, isDirect: hasOwnBackend, identity } = connection;
    const pid = hasOwnBackend ? identity.pid : undefined;
    return { client, pid, mayPause: mayWrite, patience: mayWrite ? PATIENCE : this.#isElsewhere ? 0 : 1 };
  }

  /** A round trip, once after each pause. Rejects when it does not live; those that are as old and idle go with it. */
  async #proven(connection: DataConnection): Promise<void> {
    const { client } = connection;
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => setImmediate(() => reject(new Error('no answer'))), this.#hooks.hangMillis);
    });
    try {
      await Promise.race([client.query(question(IDENTITY)), silence]);
      this.#suspects.delete(client);
    } catch (error) {
      this.#giveUp(client);
      client.release(true);
      this.#giveUpIdle();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What has not been answered yet on a connection of a user's own is looked at more closely; so is a write. */
  #giveUpWhatCostsNothing(): void {
    for (const client of this.#all) {
      if (this.#guests.has(client) || !this.doubts(client)) continue;
      const connection = this.#known.get(client);
      const isUnknown = connection === undefined;
      // Behind a pooler the process id does not show whether a read still runs; a read can be run again.
      if (isUnknown || (!connection.isDirect && !connection.mayWrite)) this.#giveUp(client);
    }
    this.#giveUpIdle();
    this.sendAway(new WaitCancelled('a connection was not answered any more'));
  }

  #giveUpIdle(): void {
    for (const client of this.#idle) if (this.doubts(client)) this.#giveUp(client);
  }

  get #idle(): PoolClient[] {
    return idleClientsOf(this.#pool) as PoolClient[];
  }

  #giveUp(client: PoolClient): void {
    const connection = this.#known.get(client);
    if (connection !== undefined) connection.wasGivenUp = true;
    this.#givenUp.add(client);
    this.#suspects.delete(client);
    dropSocket(client);
  }

  #leave(waiter: Waiter): void {
    const last = this.#waiters.pop();
    if (last === undefined || last === waiter) return;
    this.#waiters[waiter.place] = last;
    last.place = waiter.place;
  }
}

/** PostgreSQL reports `in_hot_standby` by itself when it changes. @returns what stops it */
export function listenForRole(client: object, changed: () => void): () => void {
  return listenForSettings(client, (name) => {
    if (name === 'in_hot_standby') changed();
  });
}
