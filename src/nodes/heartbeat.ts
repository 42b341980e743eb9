/**
 * Notices that the process did not run for a while, as when it is frozen between requests, stopped or held up, and that its clock stood still or went back. It beats while the
 * cluster is used, asks no server, and holds no process alive. What follows from it is decided elsewhere.
 */
import { clearInterval, performance, setInterval, wallMillis } from '../clock.js';

const BEAT_MILLIS = 500;
/** A beat that is later than that was not held up by mere work. */
const LATE_MILLIS = 500;
/** With `monitor: 'onDemand'` it beats for so long after the last use, and misses pauses after that. */
const WATCHED_MILLIS = 10_000;
/** The time of day is corrected by less than that without being set, within the time over which the two clocks are compared. */
const STEP_MILLIS = 1_000;
const COMPARED_MILLIS = 60_000;

export interface HeartbeatListener {
  /** The process did not run until now, or was not looked at. */
  paused(): void;
  /** The clock went back, or stood still while the time of day went on: what was dated before says nothing any more. */
  mistimed(): void;
  /** @returns whether something is under way, so that it must go on */
  beat(now: number): boolean;
}

export class Heartbeat {
  readonly #isOnDemand: boolean;
  readonly #listener: HeartbeatListener;
  #timer: NodeJS.Timeout | undefined;
  #lateAt = Number.POSITIVE_INFINITY;
  #awayMillis = 0;
  #usedAt = Number.NEGATIVE_INFINITY;
  #seenAt = performance.now();
  /** Both clocks, at one moment of the last minute. */
  #since = { now: this.#seenAt, wall: wallMillis() };
  #isStopped = false;

  /** @param isOnDemand whether it beats only as long as the cluster is used */
  constructor(isOnDemand: boolean, listener: HeartbeatListener) {
    this.#isOnDemand = isOnDemand;
    this.#listener = listener;
    if (isOnDemand) this.#lateAt = Number.NEGATIVE_INFINITY;
  }

  start(): void {
    if (this.#timer !== undefined || this.#isStopped) return;
    this.#lateAt = performance.now() + BEAT_MILLIS + LATE_MILLIS;
    this.#timer = setInterval(() => this.#beat(), BEAT_MILLIS).unref();
  }

  stop(): void {
    this.#isStopped = true;
    this.#rest();
  }

  /** The cluster is in use; called for every statement. @param now our monotonic clock */
  used(now: number): void {
    this.#usedAt = now;
    this.#look(now);
    if (this.#timer === undefined) this.start();
  }

  /** That moment of our monotonic clock, without the time in which the process did not run: for what somebody waits so long for. */
  awake(now: number): number {
    if (now > this.#lateAt) this.#look(now);
    return now - this.#awayMillis;
  }

  #beat(): void {
    const now = performance.now();
    this.#look(now);
    this.#lateAt = now + BEAT_MILLIS + LATE_MILLIS;
    const isBusy = this.#listener.beat(now);
    if (this.#isOnDemand && !isBusy && now - this.#usedAt > WATCHED_MILLIS) this.#rest();
  }

  #look(now: number): void {
    const isBack = now < this.#seenAt;
    const isWrong = this.#isBehind(now) || isBack;
    const isLate = now > this.#lateAt;
    if (isLate && this.#timer !== undefined) this.#awayMillis += now - this.#lateAt + LATE_MILLIS;
    if (isLate || isBack) this.#lateAt = now + BEAT_MILLIS + LATE_MILLIS;
    this.#seenAt = now;
    if (isWrong) this.#listener.mistimed();
    if (isLate || isWrong) this.#listener.paused();
  }

  /** Whether the monotonic clock has fallen behind the time of day. It compares over up to a minute: between two looks a stopped clock loses too little to notice. */
  #isBehind(now: number): boolean {
    const wall = wallMillis();
    const passedMillis = wall - this.#since.wall;
    const behindMillis = passedMillis - (now - this.#since.now);
    if (Math.abs(behindMillis) > STEP_MILLIS || passedMillis > COMPARED_MILLIS) this.#since = { now, wall };
    return behindMillis > STEP_MILLIS;
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#lateAt = this.#isStopped ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }
}
