/** What `auto` knows of one statement, and of one exact key of it. It decides by pure functions alone. */
import {
  type AdviceVerdict,
  type Assessment,
  assess,
  type Course,
  FIRST_COURSE,
  nextCourse,
  refreshAgeOf,
} from './auto-course.js';
import { Comparisons, Evidence } from './auto-evidence.js';
import type { CacheEntry } from './entry.js';
import type { RawRow } from './raw-answer.js';

/** With each weighing, what was seen of keys that are left out counts so much of it. */
const FADING = 0.8;
/** What was compared of one key counts half after so many comparisons. */
const MOST_COMPARISONS = 16;
/** So many answers that differ are no accident. */
const DIFFERING = 3;
const LEAST_AGREEMENT = 0.8;
/** One answer in so many may be read anew in the background. */
const HITS_PER_REFRESH = 10;
const MOST_REFRESHES = 16;
/** One hit in so many looks whether the answer has changed, from this share of its greatest age on. */
const HITS_PER_LOOK = 64;
const LOOK_SHARE = 0.05;

/** One text with its values, of which reads come again. */
export class WatchedKey {
  readonly statement: WatchedStatement;
  /** What would be held of it: where and when it was read, without its rows. */
  ghost: CacheEntry | undefined;
  /** Of the answer that it stands for. */
  contentHash: string | undefined;
  readonly comparisons = new Comparisons(MOST_COMPARISONS);

  constructor(statement: WatchedStatement) {
    this.statement = statement;
  }

  /** Whether its answers change so often that they are not given. */
  get isExcluded(): boolean {
    const { differedCount, agreement } = this.comparisons;
    return differedCount >= DIFFERING && agreement < LEAST_AGREEMENT;
  }

  /** What was held of it was compared with what a server says. */
  compared(isSame: boolean): void {
    const { statement, isExcluded: wasExcluded, comparisons } = this;
    comparisons.add(isSame);
    const { isExcluded } = this;
    if (!wasExcluded) statement.evidence.comparisons.add(isSame);
    // From then on it speaks for itself, and not for the others.
    if (isExcluded && !wasExcluded) statement.evidence.comparisons.without(comparisons);
    if (isExcluded && !isSame) statement.excludedCount++;
  }
}

/** What servers have counted of a statement themselves. */
export interface ServerCost {
  readonly callCount: number;
  /** In which the server ran it, without the way there and back: the mean. */
  readonly millis: number;
}

/** All texts that differ in their constants only. */
export class WatchedStatement {
  readonly digest: string;
  readonly evidence = new Evidence();
  /** The relations that it depends on, as `schema.name`. */
  tables: readonly string[] = [];
  /** Why its answers are never kept, in words; `undefined` where they may be. */
  obstacle: string | undefined;
  /** Exact keys of it whose answers changed too often, by their comparisons; it fades. */
  excludedCount = 0;
  /** Changes of its tables that were heard of when it was last weighed, and how many come in a second. */
  changesHeard: number | undefined;
  writesPerSecond: number | undefined;
  #server: ServerCost | undefined;
  #course: Course = FIRST_COURSE;
  #assessment: Assessment | undefined;
  #givenCount = 0;
  #missedCount = 0;
  #refreshes = 1;
  #refreshAgeMillis = Number.POSITIVE_INFINITY;
  #isDropped = false;

  readonly #recordKey: (key: string, statement: WatchedStatement) => WatchedKey;

  /** @param recordKey counts an exact key of it */
  constructor(digest: string, recordKey: (key: string, statement: WatchedStatement) => WatchedKey) {
    this.digest = digest;
    this.#recordKey = recordKey;
  }

  get course(): Course {
    return this.#course;
  }

  get assessment(): Assessment | undefined {
    return this.#assessment;
  }

  get verdict(): AdviceVerdict {
    return this.obstacle === undefined ? (this.#assessment?.verdict ?? 'unknown') : 'never';
  }

  /** What the servers' own statistics say of it; `undefined` where they say nothing. */
  get server(): ServerCost | undefined {
    return this.#server;
  }

  set server(server: ServerCost | undefined) {
    this.#server = server;
    this.evidence.expectedMillis = server?.millis ?? 0;
  }

  /** Whether its answers are kept and given. */
  get isServing(): boolean {
    return this.#course.state === 'serving' && !this.#isDropped;
  }

  /**
   * At which age an answer that is given is read anew in the background, in milliseconds.
   * @param latest shortly before it is too old, the bound on age @param most that bound
   */
  refreshAge(latest: number, most: number): number {
    if (Math.random() * HITS_PER_LOOK < 1) return LOOK_SHARE * most;
    return Math.min(latest, this.#refreshAgeMillis);
  }

  /** A kept answer was given. Costs two additions. */
  given(): void {
    this.#givenCount++;
    if (this.#refreshes < MOST_REFRESHES) this.#refreshes += 1 / HITS_PER_REFRESH;
  }

  /** A server was asked, since none was held that would do. */
  missed(): void {
    this.#missedCount++;
  }

  /**
   * A server has answered what may be kept.
   * @param before what was held @returns whether it may be kept: its key does not change all the time
   */
  filled(key: string, before: CacheEntry | undefined, entry: CacheEntry): boolean {
    const { evidence } = this;
    evidence.cost(entry.costMillis);
    evidence.fillCount++;
    const millis = before === undefined ? Number.POSITIVE_INFINITY : entry.askedAt - before.askedAt;
    if (before === undefined || !Number.isFinite(millis)) return true;
    const isSame = areSameRows(before.answer.rows, entry.answer.rows);
    evidence.changes.add(isSame, millis);
    const watched = this.#recordKey(key, this);
    watched.compared(isSame);
    return !watched.isExcluded;
  }

  /** Whether one more answer may be read anew in the background. */
  mayRefresh(): boolean {
    return this.#refreshes >= 1;
  }

  /** One is. */
  refreshed(): void {
    this.#refreshes--;
  }

  /** Others are seen more often. */
  drop(): void {
    this.#isDropped = true;
  }

  /** Weighs what was seen. @param millis since the last time @param mayServe whether `auto` is on */
  weigh(millis: number, mayServe: boolean): void {
    const { evidence } = this;
    const wasServing = this.isServing;
    evidence.fade(millis);
    this.excludedCount *= FADING;
    evidence.callCount += this.#givenCount + this.#missedCount;
    evidence.hitCount += this.#givenCount;
    this.#givenCount = 0;
    this.#missedCount = 0;
    const assessment = assess(evidence, this.#course, millis);
    this.#assessment = this.#isMostlyExcluded(assessment) ? { ...assessment, verdict: 'changing' } : assessment;
    if (this.obstacle !== undefined) {
      this.#course = FIRST_COURSE;
      return;
    }
    const before = this.#course.state;
    this.#course = nextCourse(this.#course, this.#assessment, mayServe);
    this.#refreshAgeMillis = refreshAgeOf(evidence);
    if (this.#course.state !== before && (this.isServing || wasServing || this.#course.state === 'shadow'))
      evidence.compareAnew();
  }

  /** Keys that change too often are left out: where hardly any other is left, it is they that decide. */
  #isMostlyExcluded({ verdict }: Assessment): boolean {
    if (verdict === 'pays' || verdict === 'little' || verdict === 'anew') return false;
    return this.excludedCount >= 1 && this.excludedCount > this.evidence.comparisons.agreedCount;
  }
}

/** In any order, as for the audit; without a look at all where they are the same in order. */
export function areSameRows(a: readonly RawRow[], b: readonly RawRow[]): boolean {
  if (a.length !== b.length) return false;
  if (a.every((row, at) => isSameRow(row, b[at] as RawRow))) return true;
  const sorted = (rows: readonly RawRow[]): string[] => rows.map((row) => JSON.stringify(row)).toSorted();
  const others = sorted(b);
  return sorted(a).every((text, at) => text === others[at]);
}

function isSameRow(a: RawRow, b: RawRow): boolean {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}
