/**
 * Who waits for a connection of a node's pool, and which one he gets: a sound one, identified. Those who wait can be
 * sent away, where the pool itself would let them wait for ever.
 */
import type { Pool, PoolClient } from 'pg';
import { performance } from '../clock.js';
import type { WaitCancelled } from '../postgres/errors.js';
import type { DataConnection } from './data-connection.js';
import type { KnownConnections } from './known-connections.js';
import type { SuspectConnections } from './suspect-connections.js';

/** Called once: with a connection, with pg's error, or with the reason for which the caller was sent away. */
export type CheckedOut = (error: unknown, connection: DataConnection | undefined) => void;

interface Waiter {
  /** Unset once it was sent away. */
  done: CheckedOut | undefined;
  /** Its index in the queue. Every statement passes through, so nothing is searched or hashed. */
  place: number;
}

/** A full pool that hands out nothing for so long stands still. */
const STALL_MILLIS = 100;

export class CheckoutQueue {
  readonly #pool: Pool;
  readonly #known: KnownConnections;
  readonly #suspects: SuspectConnections;
  readonly #waiters: Waiter[] = [];
  #servedCount = 0;
  #servedBefore = 0;
  #movedAt = performance.now();
  #isStalled = false;

  constructor(pool: Pool, known: KnownConnections, suspects: SuspectConnections) {
    this.#pool = pool;
    this.#known = known;
    this.#suspects = suspects;
  }

  /** Whether every connection has been busy for a while: a new caller will wait. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** Takes a connection out of the pool. No promise: it runs for every write. @param mayWrite whether what will run on it may write */
  checkout(mayWrite: boolean, done: CheckedOut): void {
    const waiter: Waiter = { done, place: this.#waiters.length };
    this.#waiters.push(waiter);
    const handOut = (connection: DataConnection): void => {
      if (waiter.done === undefined) {
        connection.client.release();
        return;
      }
      this.#leave(waiter);
      connection.mayWrite = mayWrite;
      connection.isTaken = true;
      if (mayWrite) connection.sourceWatch?.end();
      done(undefined, connection);
    };
    const fail = (error: unknown): void => {
      if (waiter.done === undefined) return;
      this.#leave(waiter);
      done(error, undefined);
    };
    const onServed = (error: Error | undefined, client: PoolClient | undefined): void => {
      this.#servedCount++;
      if (client === undefined) {
        fail(error);
        return;
      }
      const connection = this.#known.get(client);
      if (connection === undefined) {
        this.#known.introduce(client, mayWrite).then(handOut, (reason: unknown) => {
          client.release(true);
          fail(reason);
        });
      } else if (connection.isRefusing || (connection.isRelaxed && mayWrite)) {
        client.release(true);
        if (waiter.done !== undefined) this.#pool.connect(onServed);
      } else if (mayWrite && this.#suspects.has(client)) {
        // A write sent on a dead connection has an unknown outcome, so the connection is tried first.
        this.#suspects.prove(connection).then(
          () => handOut(connection),
          () => waiter.done !== undefined && this.#pool.connect(onServed),
        );
      } else {
        handOut(connection);
      }
    };
    this.#pool.connect(onServed);
  }

  /** Finds out whether the pool stands still; called now and then. */
  checkStall(now: number): void {
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

  #leave(waiter: Waiter): void {
    const last = this.#waiters.pop();
    if (last === undefined || last === waiter) return;
    this.#waiters[waiter.place] = last;
    last.place = waiter.place;
  }
}
