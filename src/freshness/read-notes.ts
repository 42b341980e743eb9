/**
 * What the reads of a session have shown, taken together: how old, up to which position, of which
 * tables, and whether it is the same for everybody. For those who hand it on, as a page to a CDN.
 * A few numbers and names: it keeps no answer, and sends nothing.
 */
import { formatLsn } from './lsn.js';
import { comparePositions, type Position } from './position.js';

/** How fresh all is that a session has read: see {@link Session.freshness}. */
export interface Freshness {
  /**
   * Everything up to it is shown: the lowest position of the reads. `undefined` where one has none,
   * as on the primary, and before the first read.
   */
  readonly position: { readonly timeline: number; readonly lsn: string } | undefined;
  /**
   * The age of the oldest data read, in milliseconds. What the primary gave was of age 0 when it
   * was asked. `undefined` where that of one read is not known, and before the first read.
   */
  readonly ageMillis: number | undefined;
  /**
   * The tables that were read, without their schemas, in order. `undefined` where those of one read
   * are not known: see the option `freshness` of sessions.
   */
  readonly tables: readonly string[] | undefined;
  /**
   * How long all of it stays within the bounds of its reads (`maxStalenessMillis`, their caches'
   * included), in milliseconds, 0 and above. `undefined` where no read has a bound.
   */
  readonly remainingMillis: number | undefined;
}

/** What is known of a statement. */
export interface ReadSubject {
  /** Names of the relations that it reads, without their schemas. */
  readonly tables: readonly string[];
  /** Why its answer is not for everybody, or depends on more, in words. */
  readonly obstacle: string | undefined;
}

/** `undefined` while nothing is known of that text. */
export type SubjectOf = (text: string) => ReadSubject | undefined;

/** Why what a session has read is not for everybody. */
export interface NotForAll {
  readonly because: string;
  /** Whether it is likely known soon. */
  readonly mayPass: boolean;
}

/** More texts than any page has: a session that lives on must not pile them up. */
const MAX_TEXTS = 200;
const NOBODY_KNOWS =
  'something ran in a transaction, in a stream, by its name alone or on a client of its own: what it depends on is not known';

export class ReadNotes {
  /** Whether a read waits until it is known what it depends on. */
  readonly isThorough: boolean;
  readonly #outer: ReadNotes | undefined;
  #readCount = 0;
  #position: Position | undefined;
  #hasNoPosition = false;
  #freshAsOf = Number.POSITIVE_INFINITY;
  #goodUntil = Number.POSITIVE_INFINITY;
  #tables: Set<string> | undefined;
  /** Statements that nothing was known of when they ran. */
  #texts: Set<string> | undefined;
  #isUnknown = false;
  #isScoped = false;
  #isOfRequest = false;
  #toldAt: number | undefined;
  #isPublished = false;

  /**
   * @param outer those of the session around it: what is read here counts there, too
   * @param start those that it goes on from
   */
  constructor(isThorough: boolean, outer?: ReadNotes, start?: ReadNotes) {
    this.isThorough = isThorough;
    this.#outer = outer;
    if (start === undefined) return;
    this.#readCount = start.#readCount;
    this.#position = start.#position;
    this.#hasNoPosition = start.#hasNoPosition;
    this.#freshAsOf = start.#freshAsOf;
    this.#goodUntil = start.#goodUntil;
    if (start.#tables !== undefined) this.#tables = new Set(start.#tables);
    if (start.#texts !== undefined) this.#texts = new Set(start.#texts);
    this.#isUnknown = start.#isUnknown;
    this.#isScoped = start.#isScoped;
  }

  /** How many reads there were. */
  get readCount(): number {
    return this.#readCount;
  }

  /** Those of the request that this session answers; its own where it answers none. */
  get ofRequest(): ReadNotes {
    const outer = this.#outer?.ofRequest;
    return outer?.isOfRequest === true ? outer : this;
  }

  /** Whether a request is answered with what is read here, whose head is seen when it leaves. */
  get isOfRequest(): boolean {
    return this.#isOfRequest;
  }

  /** A request is answered with it. */
  carry(): void {
    this.#isOfRequest = true;
  }

  /** Whether a cache was told for how long it may keep this. */
  get isTold(): boolean {
    return this.#toldAt !== undefined;
  }

  /** Whether a cache was told to give it to everybody. */
  get isPublished(): boolean {
    return this.#isPublished;
  }

  /** Whether there were reads that the caches were not told of. */
  get hasReadOn(): boolean {
    return this.#readCount !== (this.#toldAt ?? 0);
  }

  /** Caches are told for how long they may keep what was read by now. */
  told(isPublic: boolean): void {
    // Headers that were made public before may still be those of the answer.
    if (isPublic || !this.#isPublished) this.#toldAt = this.#readCount;
    this.#isPublished ||= isPublic;
  }

  /**
   * A read has been answered, or is about to be.
   * @param position what its answer shows at least; `undefined` where that is not known
   * @param freshAsOf the moment of our monotonic clock up to which it shows every commit; −∞ where that is not known
   * @param maxStalenessMillis its bound, where it has one
   */
  saw(position: Position | undefined, freshAsOf: number, maxStalenessMillis: number | undefined): void {
    this.#readCount++;
    this.#place(position);
    if (freshAsOf < this.#freshAsOf) this.#freshAsOf = freshAsOf;
    if (maxStalenessMillis !== undefined)
      this.#goodUntil = Math.min(this.#goodUntil, freshAsOf + Math.max(0, maxStalenessMillis));
    this.#outer?.saw(position, freshAsOf, maxStalenessMillis);
  }

  /** It was of these tables, and its answer is the same for everybody unless it is scoped. */
  of(tables: readonly string[]): void {
    this.#tables ??= new Set();
    for (const table of tables) this.#tables.add(table);
    this.#outer?.of(tables);
  }

  /** It was this statement; `undefined` where unknown. */
  asked(text: string | undefined): void {
    if (text === undefined) this.#isUnknown = true;
    else if (!this.#isUnknown) {
      this.#texts ??= new Set();
      this.#texts.add(text);
      if (this.#texts.size > MAX_TEXTS) this.#isUnknown = true;
    }
    if (this.#isUnknown) this.#texts = undefined;
    this.#outer?.asked(text);
  }

  /** It is for those alone who share a scope. */
  scoped(): void {
    this.#isScoped = true;
    this.#outer?.scoped();
  }

  /** @param now our monotonic clock */
  freshness(now: number, subjectOf: SubjectOf): Freshness {
    const position = this.#hasNoPosition ? undefined : this.#position;
    return {
      position: position && { timeline: position.timeline, lsn: formatLsn(position.lsn) },
      ageMillis: Number.isFinite(this.#freshAsOf) ? Math.max(0, now - this.#freshAsOf) : undefined,
      tables: this.#tablesBy(subjectOf),
      remainingMillis: this.#goodUntil === Number.POSITIVE_INFINITY ? undefined : Math.max(0, this.#goodUntil - now),
    };
  }

  /** Why it is not for everybody; `undefined` where it is. */
  obstacle(subjectOf: SubjectOf): NotForAll | undefined {
    if (this.#isScoped) return { because: 'a read has a scope', mayPass: false };
    if (this.#isUnknown) return { because: NOBODY_KNOWS, mayPass: false };
    let passing: NotForAll | undefined;
    for (const text of this.#texts ?? []) {
      const subject = subjectOf(text);
      if (subject === undefined) passing = { because: 'what a read depends on is not known yet', mayPass: true };
      else if (subject.obstacle !== undefined) return { because: subject.obstacle, mayPass: false };
    }
    return passing;
  }

  #tablesBy(subjectOf: SubjectOf): readonly string[] | undefined {
    if (this.#isUnknown) return undefined;
    const tables = new Set(this.#tables);
    // Those with an obstacle may be of more tables than are known.
    for (const text of this.#texts ?? []) {
      const subject = subjectOf(text);
      if (subject === undefined || subject.obstacle !== undefined) return undefined;
      for (const table of subject.tables) tables.add(table);
    }
    return [...tables].sort();
  }

  #place(position: Position | undefined): void {
    const lowest = this.#position;
    if (position === undefined || (lowest !== undefined && lowest.clusterId !== position.clusterId))
      this.#hasNoPosition = true;
    else if (lowest === undefined || comparePositions(position, lowest) < 0) this.#position = position;
  }
}
