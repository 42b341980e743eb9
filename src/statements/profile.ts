/**
 * What running a text has taught: that it comes again, how long it keeps a server busy, and that
 * replicas refuse it. It decides nothing about routing by itself.
 */
import { createHash } from 'node:crypto';
import { openingOf } from '../sql/statement-start.js';

/** Above it a statement holds up whoever shares its connection, and gains nothing by sharing. */
const SLOW_MILLIS = 5;
/** One that was slow shares again well below that. */
const FAST_MILLIS = SLOW_MILLIS / 2;
/** What a single outlier counts at most: the event loop may have been busy elsewhere when the answer came. */
const CLIP_MILLIS = 8;
/** What makes one seem slow is mostly something else: another process, or our own event loop. What makes it seem fast is seldom wrong. */
const RISING = 1 / 16;
const FALLING = 1 / 2;
/** The first ones also fill the server's caches: of these the shortest counts. */
const WARMING_SAMPLES = 4;
const LEARNING_SPACING_MILLIS = 100;
/** After it has held others up, doubling each time. */
const COOLING_MILLIS = 1_000;
const COOLING_CAP_MILLIS = 60_000;
/** After so long a text that replicas refused is tried there again: somebody may have changed its table. */
const REFUSED_MILLIS = 60_000;

/** Statements that a failure undoes as a whole. Of others, such as CALL, some may have been committed. */
const UNDIVIDED = /^\(*(?:select|insert|update|delete|merge|with|values|table)\b/i;

/** Who knows of the latest definition that has passed through the library. */
export interface Definitions {
  /** Our monotonic clock when it had been answered. */
  readonly changedAt: number;
}

const NONE: Definitions = { changedAt: Number.NEGATIVE_INFINITY };

export class Profile {
  /** Of the text, in characters. */
  readonly length: number;
  /** Whether it may be sent again when the server has refused its plan. */
  readonly isUndivided: boolean;
  /** What it is prepared under; `undefined` as long as nothing says that it will come again. */
  name: string | undefined;
  /** Tables that a plan of it may lead through, partitions included; `undefined` as long as nobody knows. */
  tableCount: number | undefined;
  readonly #definitions: Definitions;
  #sightings = 0;
  #millis: number | undefined;
  #samples = 0;
  #isFast = false;
  #hold = 0;
  #learnAt = Number.NEGATIVE_INFINITY;
  #coolUntil = Number.NEGATIVE_INFINITY;
  #refusedAt = Number.NEGATIVE_INFINITY;

  constructor(text: string, definitions: Definitions = NONE) {
    this.#definitions = definitions;
    this.length = text.length;
    this.isUndivided = UNDIVIDED.test(openingOf(text));
  }

  /** It has come once more. One that comes for the second time may well come again. */
  recordUse(text: string): void {
    if (++this.#sightings === 2) this.comesAgain(text);
  }

  /** The same name everywhere: behind a pooler another connection may have prepared it, and must have meant this text and no other. */
  comesAgain(text: string): void {
    this.name = `ladder_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
  }

  /** Whether it may mean something else than at that time: what was found out of it by then is out of date. */
  hasChangedSince(at: number): boolean {
    return this.#definitions.changedAt >= at;
  }

  /** A replica has refused it, and the primary has not. */
  refused(now: number): void {
    this.#refusedAt = now;
  }

  /** Whether replicas need not be asked: they have refused it lately, and no definition has passed through since. */
  isForPrimary(now: number): boolean {
    return now - this.#refusedAt < REFUSED_MILLIS && !this.hasChangedSince(this.#refusedAt);
  }

  /** Of a server's time, in milliseconds; 0 as long as nobody knows. */
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

  /** Whether to look into the text: not each time, where that leads to nothing. */
  mayBeLearnt(now: number): boolean {
    if (now < this.#learnAt) return false;
    this.#learnAt = now + LEARNING_SPACING_MILLIS;
    return true;
  }

  /** It has run, and kept a server busy for so long, the way there and back not counted. */
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
