/**
 * Which writes bring the place where they ended along, and what such an answer is worth. A rider costs its write some
 * microseconds, and saves the next read or token a question of its own: so writes carry one while somebody asks.
 */
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { type Lsn, normaliseLsn, parseLsn } from '../freshness/lsn.js';
import type { Position } from '../freshness/position.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { PositionRider } from '../postgres/position-rider.js';
import type { DataConnection } from './data-connection.js';
import type { Node } from './node.js';

/** So long after a read or a token had to ask, writes bring their positions along. */
const WANTED_MILLIS = 1_000;
/** With so many under way, the next one to be answered serves the other writes as well. */
const MOST_UNDER_WAY = 16;
/** Where so many statements are under way on the primary, the next write comes at once: then two do. */
const BUSY_COUNT = 8;
const MOST_WHEN_BUSY = 2;
/** So long is waited for it before the primary is asked: at most 100 questions a second. */
const PATIENCE_MILLIS = 10;

interface Waiter {
  /** Our monotonic clock: only a write that was sent later will do. */
  readonly since: number;
  readonly told: (isAnswered: boolean) => void;
}

export class PositionRiders {
  /** How many have been answered. */
  answeredCount = 0;
  readonly #history: PrimaryHistory;
  #wantedAt = Number.NEGATIVE_INFINITY;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #underWayCount = 0;
  #most = MOST_UNDER_WAY;
  #waiters: Waiter[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(history: PrimaryHistory) {
    this.#history = history;
  }

  /**
   * A read or a token has to know where the primary stands.
   * @returns what resolves to whether it is known by now, asked for after this call; `undefined` where no rider will tell soon
   */
  next(): Promise<boolean> | undefined {
    const since = performance.now();
    this.#wantedAt = since;
    // Those under way may all wait for one lock.
    const isFlowing = since - this.#answeredAt < PATIENCE_MILLIS;
    if (this.#underWayCount < this.#most || !isFlowing) return undefined;
    return new Promise((told) => {
      this.#waiters.push({ since, told });
      this.#timer ??= setTimeout(() => this.#settle(Number.POSITIVE_INFINITY, false), PATIENCE_MILLIS);
    });
  }

  /** Whether somebody has asked lately. */
  areWanted(now: number): boolean {
    return now - this.#wantedAt < WANTED_MILLIS;
  }

  /** What rides behind a write that is sent now; `undefined` for none. `over` must be called for each. */
  take({ load }: Node, { rider }: DataConnection): PositionRider | undefined {
    this.#most = load.count < BUSY_COUNT ? MOST_UNDER_WAY : MOST_WHEN_BUSY;
    if (rider === undefined || this.#underWayCount >= this.#most || !this.#history.isTracking) return undefined;
    this.#underWayCount++;
    return rider;
  }

  /**
   * A write with a rider has ended.
   * @param text the rider's answer; `undefined` where there was none
   * @param sentAt our monotonic clock before the write was sent
   * @returns a position that covers the write; `undefined` where the answer proves none
   */
  over(node: Node, connection: DataConnection, text: string | undefined, sentAt: number): Position | undefined {
    this.#underWayCount--;
    const position = this.#proven(node, connection, text, sentAt);
    // None is left that could tell the others.
    if (this.#underWayCount === 0 && this.#waiters.length > 0) this.#settle(Number.POSITIVE_INFINITY, false);
    return position;
  }

  #proven(node: Node, connection: DataConnection, text: string | undefined, sentAt: number): Position | undefined {
    const { identity } = connection;
    const lsn = this.#lsnOf(node, connection, text);
    const timeline = node.observation?.timeline;
    if (lsn === undefined || timeline === undefined) return undefined;
    const position = { clusterId: identity.clusterId, timeline, lsn };
    if (!this.#history.pass(position, identity.startedAt, sentAt, this.#waiters.length > 0)) return undefined;
    this.answeredCount++;
    this.#answeredAt = performance.now();
    if (this.#waiters.length > 0) this.#settle(sentAt, true);
    return position;
  }

  #lsnOf({ observation }: Node, { identity }: DataConnection, text: string | undefined): Lsn | undefined {
    const lsn = text === undefined ? undefined : parseLsn(text);
    if (lsn === undefined || observation === undefined || observation.inRecovery) return undefined;
    return observation.identity.server === identity.server ? normaliseLsn(lsn, identity.wal) : undefined;
  }

  #settle(before: number, isAnswered: boolean): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ since }) => since >= before);
    if (this.#waiters.length === 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    for (const { since, told } of waiters) if (since < before) told(isAnswered);
  }
}
