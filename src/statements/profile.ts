/**
 * What running a text has taught: that it comes again, and how long it keeps a server busy. By its exact text, for as long as it is in use; texts that differ in a trailing
 * comment only, which never come again, share one without a name.
 */
import { createHash } from 'node:crypto';
import { openingOf } from '../sql/statement-start.js';
import { withoutTrailingComment } from '../sql/trailing-comment.js';
import { StatementCache } from './cache.js';

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
  readonly #refusal: Refusal;

  /** @param alike of a text that differs in a trailing comment only */
  constructor(text: string, definitions: Definitions = NONE, alike?: Profile) {
    this.#refusal = alike === undefined ? { at: Number.NEGATIVE_INFINITY } : alike.#refusal;
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
    this.#refusal.at = now;
  }

  /** Whether replicas need not be asked: they have refused it lately, and no definition has passed through since. */
  isForPrimary(now: number): boolean {
    const { at } = this.#refusal;
    return now - at < REFUSED_MILLIS && !this.hasChangedSince(at);
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

/** Texts that differ in a trailing comment only. */
interface Commented {
  /** It never has a name: under one stands one text, and the server shall see each comment. */
  readonly profile: Profile;
  /** The latest ones: a comment that comes again says nothing new, and its text has a profile of its own from then on. */
  readonly comments: string[];
}

/** Places in a program that run the same statement, each with a comment of its own. */
const COMMENTED_COUNT = 8;
/** A longer comment is taken for one that does not come again. */
const MAX_COMMENT_LENGTH = 200;

export class Profiles {
  readonly #cache = new StatementCache<Profile>();
  readonly #commented = new StatementCache<Commented>();
  readonly #definitions: Definitions;

  constructor(definitions: Definitions) {
    this.#definitions = definitions;
  }

  /** A text has come. */
  recordUse(text: string): Profile {
    const known = this.#cache.get(text);
    if (known !== undefined) {
      known.recordUse(text);
      return known;
    }
    // Tools put a space before it.
    const plain = withoutTrailingComment(text)?.trimEnd();
    if (plain === undefined) return this.#add(text, this.#commented.get(text.trimEnd())?.profile);
    const isShort = text.length - plain.length <= MAX_COMMENT_LENGTH;
    // A copy: what is cut out of a text holds all of it.
    const comment = isShort ? Buffer.from(text.slice(plain.length)).toString() : undefined;
    const commented = this.#commented.get(plain);
    if (commented === undefined) {
      const profile = new Profile(plain, this.#definitions, this.#cache.get(plain));
      this.#commented.set(plain, { profile, comments: comment === undefined ? [] : [comment] });
      return profile;
    }
    if (comment === undefined || !commented.comments.includes(comment)) {
      if (comment !== undefined && commented.comments.push(comment) > COMMENTED_COUNT) commented.comments.shift();
      return commented.profile;
    }
    const profile = this.#add(text, commented.profile);
    profile.recordUse(text);
    return profile;
  }

  #add(text: string, alike: Profile | undefined): Profile {
    const profile = new Profile(text, this.#definitions, alike);
    this.#cache.set(text, profile);
    profile.recordUse(text);
    return profile;
  }
}
