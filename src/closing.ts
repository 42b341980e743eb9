/**
 * Closes a cluster. Calls under way may finish. At a deadline they are cut off in two steps:
 * running statements are cancelled, then their connections are closed. It reports no outcomes:
 * each call rejects with its own error.
 */

import type { Pool } from 'pg';
import type { CacheRung } from './cache/rung.js';
import type { Changes } from './changes/changes.js';
import { clearTimeout, performance, setTimeout } from './clock.js';
import { settledWithin } from './deadline.js';
import type { Gate } from './execute/gate.js';
import type { TransactionWatch } from './isolation/transaction-watch.js';
import type { Fleet } from './nodes/fleet.js';
import type { Publisher } from './publisher.js';

/** What there is to be closed. */
interface Estate {
  readonly fleet: Fleet;
  readonly cache: CacheRung | undefined;
  readonly changes: Changes | undefined;
  readonly watch: TransactionWatch | undefined;
  readonly gate: Gate;
  readonly publisher: Publisher;
  /** Those of `cluster.pool()`. */
  readonly pools: readonly Pool[];
}

export class Closing {
  /** Resolves when all is closed. */
  readonly over: Promise<void>;
  readonly #estate: Estate;
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #endsAt = Number.POSITIVE_INFINITY;
  #isOver = false;
  #cutOff = (): void => undefined;

  /** @param ended resolves when what is under way has ended by itself */
  constructor(ended: Promise<unknown>, estate: Estate) {
    this.#estate = estate;
    const isLate = new Promise<true>((resolve) => {
      this.#cutOff = () => resolve(true);
    });
    this.over = this.#close(ended, isLate);
  }

  /** Sets a deadline: of several, the first one counts. */
  within(millis: number | undefined): void {
    const endsAt = performance.now() + (millis ?? Number.POSITIVE_INFINITY);
    if (this.#isOver || endsAt >= this.#endsAt) return;
    this.#endsAt = endsAt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#cutOff, millis);
  }

  async #close(ended: Promise<unknown>, isLate: Promise<true>): Promise<void> {
    const { fleet, cache, changes, watch } = this.#estate;
    const wasLate = await Promise.race([ended.then(() => false), isLate]);
    clearTimeout(this.#timer);
    this.#isOver = true;
    // Until then it ends what holds up the end.
    watch?.close();
    // What is wrong with a store that others may use is not told by closing.
    await settledWithin(Promise.all([cache?.close(), changes?.close()]), fleet.settings.hangMillis);
    if (!wasLate) {
      await fleet.close();
      return;
    }
    const { hangMillis } = fleet.settings;
    this.#tell();
    fleet.cancelAll();
    await settledWithin(ended, hangMillis);
    fleet.dropAll();
    // Clients that their users never give back keep their pools from ending.
    await settledWithin(Promise.all([ended, fleet.close()]), 2 * hangMillis);
  }

  #tell(): void {
    const { gate, publisher, pools } = this.#estate;
    if (!publisher.wants('warning')) return;
    const clients = pools.reduce((sum, { totalCount, idleCount }) => sum + totalCount - idleCount, 0);
    const waited = Math.round(performance.now() - this.#startedAt);
    const message =
      `close() has waited ${waited} ms, and cuts off what is not over: ${counted(gate.count, 'call')} and ` +
      `${counted(clients, 'client')} of pools`;
    publisher.publish('warning', { code: 'closed-under-way', message });
  }
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
