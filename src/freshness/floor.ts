/**
 * The newest position that a session has written or been handed: what its reads must not fall below. A write leaves only
 * a mark of when it returned; the position is worked out when a read or a token asks, from whatever the primary has
 * answered since. Pure: it never asks anybody anything.
 */
import { performance } from '../clock.js';
import type { Lsn } from './lsn.js';
import { newerPosition, type Position } from './position.js';
import type { PrimaryHistory } from './primary-history.js';

/** A write that may have committed, or still might: its outcome is not known. */
export interface UncertainWrite {
  /** When its backend was known to be gone; `undefined` before. From then on it counts as a write that returned. */
  settledAt: number | undefined;
}

/**
 * What the floor asks of a rung: an LSN on the primary's history (0n: nothing), `pending` until a newer sample of the
 * primary, or what only the primary satisfies: `unprovable`, and `sticky` within the window after a write where no LSN is tracked.
 */
export type FloorLsn = Lsn | 'pending' | 'unprovable' | 'sticky';

/** A position from outside. Floors that were copied share it, so that it is refused, and counted, once. */
export interface Claim {
  readonly position: Position;
  /** Since when it is known to exist, by our monotonic clock: only answers to later questions can call it forged. */
  readonly arrivedAt: number;
  /** Until when it may keep reads on the primary while it cannot be decided, by the same clock. */
  readonly until: number;
  isRefused: boolean;
  /** Where the primary stood when it was refused and may still cover a write that survived. */
  present?: Position | undefined;
}

const NEVER = Number.NEGATIVE_INFINITY;

export class Floor {
  readonly #outer: Floor | undefined;
  #position: Position | undefined;
  // Each is judged by itself: a forged one must not take the place of an honest one.
  #claims: Claim[] = [];
  #wroteAt = NEVER;
  #wroteOn = 0;
  #uncertain: UncertainWrite[] = [];
  /** Whether nothing but the primary may answer for as long as this floor lives. */
  #isPinned = false;
  #underWay: number | undefined;
  #onWritesOver: (() => void) | undefined;
  /** Called whenever there is more to be seen than before. */
  #onMove: (() => void) | undefined;
  #judgedIn = -1;

  /**
   * @param outer the floor that this one's writes fold into
   * @param start the floor that this one starts from
   */
  constructor(outer?: Floor, start?: Floor) {
    this.#outer = outer;
    if (start === undefined) return;
    // The process's own floor may never be asked: what is over must not pile up in it, nor be copied into every session.
    if (start.#uncertain.length > 0) start.#settle();
    this.#position = start.#position;
    if (start.#claims.length > 0) this.#claims = start.#claims.slice();
    this.#wroteAt = start.#wroteAt;
    this.#wroteOn = start.#wroteOn;
    this.#uncertain = start.#uncertain.slice();
    this.#isPinned = start.#isPinned;
  }

  get isPinned(): boolean {
    return this.#isPinned;
  }

  /** Called when what was handed out as the floor is no longer all of it. */
  whenMoved(listener: () => void): void {
    this.#onMove = listener;
  }

  /** The floor without its pin. */
  unpinned(): Floor {
    if (!this.#isPinned) return this;
    const floor = new Floor(undefined, this);
    floor.#isPinned = false;
    return floor;
  }

  /** Some write from outside has no position: it is not known what must be seen. */
  pin(): void {
    this.#isPinned = true;
    this.#onMove?.();
    if (this.#isOfSession) this.#outer?.pin();
  }

  /** Whether it, or one around it, wants to know of writes that are under way. */
  get isCounting(): boolean {
    return this.#underWay !== undefined || this.#outer?.isCounting === true;
  }

  /** Writes that have been asked for and are not over: counted from the first time that somebody asks. */
  get underWayCount(): number {
    this.#underWay ??= 0;
    return this.#underWay;
  }

  /** Counts a write until it is over, where anybody wants to know. */
  counting<T>(write: Promise<T>): Promise<T> {
    if (!this.isCounting) return write;
    this.count(1);
    const over = (): void => this.count(-1);
    write.then(over, over);
    return write;
  }

  /** Calls back once, when none is under way any more. */
  whenWritesAreOver(listener: () => void): void {
    if (this.underWayCount === 0) listener();
    else this.#onWritesOver = listener;
  }

  /** @param by 1 when a write begins, -1 when it is over */
  count(by: 1 | -1): void {
    // One that began before anybody asked ends uncounted.
    if (this.#underWay !== undefined) this.#underWay = Math.max(0, this.#underWay + by);
    if (this.#underWay === 0) {
      this.#onWritesOver?.();
      this.#onWritesOver = undefined;
    }
    this.#outer?.count(by);
  }

  /** A write has returned. @param timeline the primary's when it ran, 0 if not known */
  wrote(endedAt: number, timeline: number): void {
    this.#wroteAt = Math.max(this.#wroteAt, endedAt);
    this.#wroteOn = timeline;
    this.#onMove?.();
    this.#outer?.wrote(endedAt, timeline);
  }

  /** A write has returned, and it ended at or below that position. */
  wroteUpTo(position: Position): void {
    this.#raise(position);
    this.#onMove?.();
    this.#outer?.wroteUpTo(position);
  }

  /** A read has shown the session what was committed by then: kept for the session and those around it, not for the process. */
  saw(endedAt: number): void {
    if (this.#outer === undefined) return;
    if (this.#wroteAt === NEVER) this.#wroteOn = 0;
    this.#wroteAt = Math.max(this.#wroteAt, endedAt);
    this.#outer.saw(endedAt);
  }

  /** A write was cut off: nothing but the primary may answer until it is settled. */
  hold(write: UncertainWrite): void {
    this.#settle();
    this.#uncertain.push(write);
    this.#onMove?.();
    this.#outer?.hold(write);
  }

  /** A position from outside: believed once the primary is seen at or above it. See {@link Claim} for the times. */
  claim(position: Position, arrivedAt: number, until = Number.POSITIVE_INFINITY): void {
    this.#claims.push({ position, arrivedAt, until, isRefused: false });
    this.#onMove?.();
    if (this.#isOfSession) this.#outer?.claim(position, arrivedAt, until);
  }

  /** Like `claim` and, without one, like `pin`, for what the client holds already: it is no move, and not for those around it. */
  startFrom(claim: Claim | undefined): void {
    if (claim === undefined) this.#isPinned = true;
    else this.#claims.push(claim);
  }

  /** Whether the one around it is a session's: what comes from outside is no business of the process. */
  get #isOfSession(): boolean {
    const outer = this.#outer;
    return outer !== undefined && outer.#outer !== undefined;
  }

  /** The position itself, for a token; `undefined` while it is not known, or when there is none. */
  position(history: PrimaryHistory): Position | undefined {
    return typeof this.resolve(history) === 'bigint' ? this.#position : undefined;
  }

  resolve(history: PrimaryHistory): FloorLsn {
    if (this.#isPinned || (this.#uncertain.length > 0 && !this.#settle())) return 'unprovable';
    if (history.stickinessMillis !== undefined) {
      return performance.now() - this.#wroteAt < history.stickinessMillis ? 'sticky' : 0n;
    }
    if (this.#wroteAt !== NEVER && !this.#cover(history)) return 'pending';
    if (this.#claims.length > 0 && this.#judgeClaims(history)) return 'pending';
    if (this.#position === undefined) return 0n;
    if (this.#judgedIn !== history.epoch) this.#judge(this.#position, history);
    return this.#position?.lsn ?? 0n;
  }

  /** Whether a position from outside lies on a timeline that was not seen here: any node may be the primary by now. */
  outruns(history: PrimaryHistory): boolean {
    return this.outrunsSince(history) !== undefined;
  }

  /** Since when the latest such position is known, by our monotonic clock; `undefined` when there is none that is open. */
  outrunsSince({ timelines }: PrimaryHistory): number | undefined {
    let since: number | undefined;
    for (const { position, arrivedAt, isRefused } of this.#claims) {
      if (position.timeline > timelines.timeline && !isRefused) since = Math.max(since ?? NEVER, arrivedAt);
    }
    return since;
  }

  /** Turns writes that are known to be over into ones that returned. @returns whether none is left open */
  #settle(): boolean {
    const open = this.#uncertain.filter(({ settledAt }) => settledAt === undefined);
    for (const { settledAt } of this.#uncertain) {
      if (settledAt === undefined) continue;
      this.#wroteAt = Math.max(this.#wroteAt, settledAt);
      this.#wroteOn = 0;
    }
    this.#uncertain = open;
    return open.length === 0;
  }

  #cover(history: PrimaryHistory): boolean {
    const position = history.covering(this.#wroteAt, this.#wroteOn);
    if (position === undefined) return false;
    // Also where the timeline known has gone back: the server that took the write was no primary.
    if (this.#wroteOn > 0 && this.#wroteOn !== position.timeline) history.refused.count('uncertain');
    this.#raise(position);
    this.#wroteAt = NEVER;
    return true;
  }

  /** @returns whether one cannot be decided yet */
  #judgeClaims(history: PrimaryHistory): boolean {
    let isOpen = false;
    let keptCount = 0;
    for (const claim of this.#claims) {
      const verdict = this.#judgeClaim(claim, history);
      if (verdict === 'pending') isOpen = true;
      if (verdict !== 'over') this.#claims[keptCount++] = claim;
    }
    this.#claims.length = keptCount;
    return isOpen;
  }

  /** `aside`: it asks for nothing, unless a server turns up on its timeline after all. */
  #judgeClaim(claim: Claim, history: PrimaryHistory): 'pending' | 'aside' | 'over' {
    const { position, arrivedAt, until } = claim;
    if (history.clusterId === undefined) return 'pending';
    const isForeign = position.clusterId !== history.clusterId;
    const fate = isForeign ? 'foreign' : history.timelines.fateOf(position.timeline, position.lsn, history.highest);
    // Only answers asked for after the claim arrived can call it forged: the primary may have moved on since the last one, and for a
    // later timeline any node may be the primary by now.
    const isLater = fate === 'ahead' && position.timeline > history.timelines.timeline;
    const judgedAt = isLater ? history.survey.sentAt : history.sentAt;
    const isOpen = fate === 'ahead' && judgedAt <= arrivedAt && !claim.isRefused;
    if (isOpen && !(isLater && performance.now() > until)) return 'pending';
    if (fate === 'kept') this.#raise(position);
    else if (fate !== 'foreign' && (fate !== 'ahead' || history.hasRestarted)) {
      // One that stays aside is looked at again and again: it asks for no more than what there was when it was first refused.
      if (isLater) claim.present ??= history.position;
      const present = isLater ? claim.present : history.position;
      if (present !== undefined) this.#raise(present);
    }
    if (fate !== 'kept' && fate !== 'unknown' && !claim.isRefused) {
      claim.isRefused = true;
      history.refused.count(fate);
    }
    return isLater ? 'aside' : 'over';
  }

  /** Judges the own position after a failover or restart of the primary. */
  #judge(position: Position, history: PrimaryHistory): void {
    const foreign = position.clusterId !== history.clusterId;
    const fate = foreign ? 'foreign' : history.timelines.fateOf(position.timeline, position.lsn, history.highest);
    if (fate !== 'kept' && fate !== 'unknown') history.refused.count('lost');
    if (fate !== 'kept') {
      this.#position = undefined;
      if (!foreign) this.#raiseToPresent(history);
    }
    this.#judgedIn = history.epoch;
  }

  /**
   * The primary has whatever was kept of its past, also where it was not seen at which place that was left. A position that is gone may cover a
   * write that is not: it lies at or above its write's commit, not at it.
   */
  #raiseToPresent({ position }: PrimaryHistory): void {
    if (position !== undefined) this.#raise(position);
  }

  #raise(position: Position): void {
    this.#position =
      this.#position?.clusterId === position.clusterId ? newerPosition(this.#position, position) : position;
    this.#judgedIn = -1;
  }
}
