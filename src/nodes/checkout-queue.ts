/**
 * Who waits for a connection of a node's pool, so that they can be sent elsewhere when the server behind it hangs: the pool itself
 * would let them wait for ever. Every read passes through: an array in which each waiter knows its place, and nothing to hash.
 */
import type { DataConnection } from './data-connection.js';

interface Waiter {
  readonly reject: (error: Error) => void;
  place: number;
  isSentAway: boolean;
}

export class CheckoutQueue {
  readonly #waiters: Waiter[] = [];

  /** Settles as `connecting` does, or rejects when everybody is sent away; a connection that comes later goes back to its pool. */
  wait(connecting: Promise<DataConnection>): Promise<DataConnection> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { reject, place: this.#waiters.length, isSentAway: false };
      this.#waiters.push(waiter);
      connecting.then(
        (connection) => {
          if (waiter.isSentAway) {
            connection.client.release();
            return;
          }
          this.#leave(waiter);
          resolve(connection);
        },
        (error: unknown) => {
          if (!waiter.isSentAway) this.#leave(waiter);
          reject(error);
        },
      );
    });
  }

  sendAway(error: Error): void {
    for (const waiter of this.#waiters.splice(0)) {
      waiter.isSentAway = true;
      waiter.reject(error);
    }
  }

  #leave(waiter: Waiter): void {
    const last = this.#waiters.pop();
    if (last === undefined || last === waiter) return;
    this.#waiters[waiter.place] = last;
    last.place = waiter.place;
  }
}
