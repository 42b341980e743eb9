/**
 * What running a text has taught: that it comes again, how long it keeps a server busy, and that
 * replicas refuse it. It decides nothing about routing by itself.
 */
import { openingOf } from '../sql/statement-start.js';
import { statementName } from './statement-name.js';

/** A slower statement holds up all others on a shared connection, and gains nothing by sharing. */
const SLOW_MILLIS = 5;
/** One that was slow shares again well below that. */
const FAST_MILLIS = SLOW_MILLIS / 2;
/** The most that one outlier counts: the event loop may have been busy when the answer came. */
const CLIP_MILLIS = 8;
/**
 * A slow sample is mostly due to another process or our own event loop; a fast one is seldom wrong.
 */
const RISING = 1 / 16;
const FALLING = 1 / 2;
/** The first runs also fill the server's caches: the shortest of them counts. */
const WARMING_SAMPLES = 4;
const LEARNING_SPACING_MILLIS = 100;
/** How long a statement that held others up stays away, doubling each time. */
const COOLING_MILLIS = 1_000;
const COOLING_CAP_MILLIS = 60_000;
/** When a text that replicas refused is tried there again: its table may have changed. */
const REFUSED_MILLIS = 60_000;

/**
 * Statements that a failure undoes as a whole. Of others, such as CALL, some may have been
 * committed.
 */
const UNDIVIDED = /^\(*(?:select|insert|update|delete|merge|with|values|table)\b/i;

/** Tells when the last definition (DDL) passed through pg-ladder. */
export interface Definitions {
  /** Our monotonic clock when it had been answered. */
  readonly changedAt: number;
}

/** When replicas have refused a text, by our monotonic clock. Texts that differ in a trailing comment only share one. */
interface Refusal {
  at: number;
}

const NONE: Definitions = { changedAt: Number.NEGATIVE_INFINITY };

export class Profile {
  /** Of the text, in characters. */
  readonly length: number;
  /** Whether it may be sent again when the server has refused its plan. */
  readonly isUndivided: boolean;
  /** The name that it is prepared under; `undefined` until it comes a second time. */
  name: string | undefined;
  /** Tables that a plan of it may lead through, partitions included; `undefined` while unknown. */
  tableCount: number | undefined;
  readonly #definitions: Definitions;
  #useCount = 0;
  #millis: number | undefined;
  #samples = 0;
  #isFast = false;
  #hold = 0;
  #learnAt = Number.NEGATIVE_INFINITY;
  #coolUntil = Number.NEGATIVE_INFINITY;
  readonly #refusal: Refusal;

  /** @param alike of a text that differs in a trailing comment only */
  constructor(text: string, definitions: Definitions = NONE, alike?: Profile) {
    this.#refusal = alike === undefined ? { at: Number.NEGATIVE_INFINITY } : alike.#refusal;
    this.#definitions = definitions;
    this.length = text.length;
    this.isUndivided = UNDIVIDED.test(openingOf(text));
  }

  /** It has come once more. A text that comes twice will probably come again. */
  recordUse(text: string): void {
    if (++this.#useCount === 2) this.comesAgain(text);
  }

  /**
   * Names it, alike in every process: behind a pooler another connection may have prepared that
   * name, and must mean the same text.
   */
  comesAgain(text: string): void {
    this.name = statementName(text);
  }

  /** Whether a definition has passed since: what was found out before may be out of date. */
  hasChangedSince(at: number): boolean {
    return this.#definitions.changedAt >= at;
  }

  /** A replica has refused it, and the primary has not. */
  refused(now: number): void {
    this.#refusal.at = now;
  }

  /**
   * Whether replicas need not be asked: they have refused it lately, and no definition has passed
   * through since.
   */
  isForPrimary(now: number): boolean {
    const { at } = this.#refusal;
    return now - at < REFUSED_MILLIS && !this.hasChangedSince(at);
  }

  /** How long it keeps a server busy, in milliseconds; 0 while unknown. */
  get expectedMillis(): number {
    return this.#millis ?? 0;
  }

  /** Whether it is known to take so little that what it took beyond that is the server's. */
  get isShort(): boolean {
    return this.#millis !== undefined && this.#millis < SLOW_MILLIS;
  }

  /** It has run before, and was over at once. */
  isFast(now: number): boolean {
    return this.#isFast && now >= this.#coolUntil;
  }

  /** Whether to classify the text now: not with each use, in case that leads to nothing. */
  mayBeLearnt(now: number): boolean {
    if (now < this.#learnAt) return false;
    this.#learnAt = now + LEARNING_SPACING_MILLIS;
    return true;
  }

  /** It has run. @param millis how long it kept a server busy, without the way there and back */
  took(millis: number): void {
    const clipped = Math.max(0, Math.min(millis, CLIP_MILLIS));
    if (this.#millis === undefined) this.#millis = clipped;
    else if (this.#samples < WARMING_SAMPLES) this.#millis = Math.min(this.#millis, clipped);
    else this.#millis += (clipped - this.#millis) * (clipped > this.#millis ? RISING : FALLING);
    this.#samples++;
    const isNew = this.#samples <= WARMING_SAMPLES;
    this.#isFast = this.#millis <= (this.#isFast || isNew ? SLOW_MILLIS : FAST_MILLIS);
  }

  /** Others had to wait for it. */
  heldUp(now: number): void {
    // Long without any trouble, it is no repeat offender.
    if (now - this.#coolUntil > COOLING_CAP_MILLIS) this.#hold = 0;
    this.#coolUntil = now + Math.min(COOLING_MILLIS * 2 ** this.#hold++, COOLING_CAP_MILLIS);
  }
}
