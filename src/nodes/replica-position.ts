/**
 * Where a server stands, by what it last said of itself, and how much of that is proven. It forgets what may no longer hold, and sends nothing.
 */
import type { Lsn } from '../freshness/lsn.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import { isFollower, type Observation, replayedLsn } from './observation.js';
import { Past } from './past.js';

/**
 * The longest header of a log page. A replica that has just started stands where its checkpoint began, behind such a header; the primary's position is told
 * without it.
 */
const PAGE_HEADER_BYTES = 40n;
/** Before that it stands where it stood. */
const MOVING_MILLIS = 1;

export class ReplicaPosition {
  /** The timeline that a replica was shown to be on; 0 while it is not known. */
  shownTimeline = 0;
  readonly past = new Past();
  readonly #history: PrimaryHistory;
  #observation: Observation | undefined;
  #answeredAt = Number.NEGATIVE_INFINITY;
  /** The life of a replica, and the part of the primary's history, in which it has told of log that the primary had not written. */
  #strayed: { readonly server: string; readonly epoch: number } | undefined;
  #voidedAt = Number.NEGATIVE_INFINITY;
  #lsn: Lsn | undefined;
  #lsnOf: Observation | undefined;
  #lsnIn = -1;
  #freshAsOf = Number.NEGATIVE_INFINITY;
  #freshIn = -1;
  #steadyAgeMillis = Number.POSITIVE_INFINITY;
  /** Where it stood when it had not caught up, although there was hope. */
  #stoodAt: Lsn | undefined;

  constructor(history: PrimaryHistory) {
    this.#history = history;
  }

  /** What the server last said; `undefined` when it has not answered, or may be another one by now. */
  get observation(): Observation | undefined {
    return this.#observation;
  }

  /** How far a replica has replayed the primary's own history; `undefined` while it is not proven that it follows it. */
  get lsn(): Lsn | undefined {
    // It is asked for by every decision.
    if (this.#lsnOf !== this.#observation || this.#lsnIn !== this.#history.epoch) {
      this.#lsn = this.hasStrayed ? undefined : replayedLsn(this.#observation, this.#history);
      this.#lsnOf = this.#observation;
      this.#lsnIn = this.#history.epoch;
    }
    return this.#lsn;
  }

  /** The moment of our clock up to which it is shown to hold every commit; −∞ when nothing is. */
  get freshAsOf(): number {
    const { clock } = this.#history;
    if (this.#freshIn !== clock.version) {
      const lsn = this.lsn;
      this.#freshAsOf = lsn === undefined ? Number.NEGATIVE_INFINITY : clock.freshAsOf(lsn);
      this.#freshIn = clock.version;
    }
    return this.#freshAsOf;
  }

  /** See `steadied`. */
  get steadyAgeMillis(): number {
    return this.#steadyAgeMillis;
  }

  /** Whether it has told of log that the primary had not written: it has left the primary's history, or lies. */
  get hasStrayed(): boolean {
    return (
      this.#strayed !== undefined &&
      this.#strayed.epoch === this.#history.epoch &&
      this.#strayed.server === this.#observation?.identity.server
    );
  }

  /** The primary stood at `lsn`, asked at `sentAt`: a replica that answered before that cannot have replayed more. */
  compare(sentAt: number, lsn: Lsn): void {
    const own = this.#observation;
    if (this.#answeredAt > sentAt || !isFollower(own, this.#history) || own.lsn <= lsn + PAGE_HEADER_BYTES) return;
    this.#strayed = { server: own.identity.server, epoch: this.#history.epoch };
    this.#lsn = undefined;
    this.#freshIn = -1;
  }

  /** @returns whether it counts: what was asked before a connection was lost may have been answered by the server's earlier life @throws InvalidAnswer when it contradicts what the server has said before */
  record(observation: Observation | undefined, now: number): boolean {
    if (observation !== undefined && observation.sentAt <= this.#voidedAt) return false;
    if (observation !== undefined) this.past.heard(observation, now);
    this.pass(now);
    this.#observation = observation;
    this.#answeredAt = now;
    this.#freshIn = -1;
    return true;
  }

  void(now: number): void {
    this.#observation = undefined;
    this.#voidedAt = now;
    this.shownTimeline = 0;
    this.#freshIn = -1;
  }

  /** Lets time pass. */
  pass(now: number): void {
    this.#steadyAgeMillis = steadied(this.#steadyAgeMillis, now - this.freshAsOf);
  }

  /** Whether it may stand elsewhere by now than when it was last asked, as far as trying has shown. */
  mayHaveMoved(now: number): boolean {
    const seen = this.#observation;
    return seen !== undefined && now - seen.sentAt >= MOVING_MILLIS && seen.lsn !== this.#stoodAt;
  }

  /** A read was sent along with the question where it stands, in the hope that it has caught up. */
  recordGate(seen: Observation | undefined, wasOpen: boolean): void {
    this.#stoodAt = wasOpen ? undefined : seen?.lsn;
  }
}

/**
 * The age that a node must be taken for, so that one whose age jitters around a bound does not come and go: it is over a bound from the moment its age is, until that has
 * been at half of it. One number for all bounds at once: at any moment, it is above exactly those that the node has not come back from.
 * @param before the same, after the age before; ∞ at first
 */
export function steadied(before: number, ageMillis: number): number {
  return Math.max(ageMillis, Math.min(before, 2 * ageMillis));
}
