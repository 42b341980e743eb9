/**
 * One query that is watched, for all who watch it: when it runs, and which state is the present one.
 * A change only marks it as due, so nothing piles up. While its state is shown to hold, it asks no
 * server. It hands no rows out.
 */
import type { CachedText } from '../cache/texts.js';
import type { ChangePosition } from '../change-source.js';
import type { TableDependence } from '../changes/dependence.js';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import type { SessionScope } from '../session/scope.js';
import { LiveState } from './live-state.js';
import type { Reader } from './reader.js';
import { DEFAULT_STALENESS_MILLIS, type Subject, wakingTables } from './subject.js';

/** Who watches. Its methods return at once, and never throw. */
export interface Watcher {
  /** There is another state, or none will come any more. */
  notify(): void;
  /** The query could not be run. */
  failed(error: unknown): void;
}

/** Where the query stands among others. */
export interface LiveHome {
  /** Files it under what it depends on from now on. */
  file(query: LiveQuery, tables: readonly TableDependence[]): void;
  /** Resolves when it may run. */
  enter(): Promise<void>;
  leave(): void;
  /** Its first failure in a row. */
  failed(query: LiveQuery, error: unknown): void;
  /** Nobody watches it any more. */
  abandoned(query: LiveQuery): void;
}

const FIRST_BACKOFF_MILLIS = 250;
const MOST_BACKOFF_MILLIS = 30_000;
/** So long after definitions were asked for it is known whether they have changed. */
const MOST_GRACE_MILLIS = 250;

export class LiveQuery {
  readonly subject: Subject;
  readonly #reader: Reader;
  readonly #home: LiveHome;
  readonly #scope: SessionScope;
  readonly #watchers = new Set<Watcher>();
  readonly #over = new AbortController();
  readonly #boundMillis: number;
  #state: LiveState | undefined;
  #text: CachedText | undefined;
  #tables: readonly TableDependence[] = [];
  /** The latest change that it must show. */
  #wanted: ChangePosition | undefined;
  #isDue = false;
  #isRunning = false;
  /** Whether definitions were asked for before it is taken to be too old. */
  #isGraced = false;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;
  #failureCount = 0;
  #failedAt = Number.NEGATIVE_INFINITY;

  /** @param scope a session of its own */
  constructor(subject: Subject, scope: SessionScope, reader: Reader, home: LiveHome) {
    this.subject = subject;
    this.#scope = scope;
    this.#reader = reader;
    this.#home = home;
    this.#boundMillis = subject.maxStalenessMillis ?? DEFAULT_STALENESS_MILLIS;
  }

  get state(): LiveState | undefined {
    return this.#state;
  }

  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  join(watcher: Watcher): void {
    this.#watchers.add(watcher);
    if (this.#state === undefined) this.wake();
  }

  leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0 || this.isOver) return;
    this.close();
    this.#home.abandoned(this);
  }

  /** Its next states show that, as any read of a session does: a stranger may have named the position. */
  require(position: ChangePosition): void {
    this.#claim(position);
    this.wake();
  }

  #claim(position: ChangePosition): void {
    const { history } = this.#reader.fleet;
    const { floor } = this.#scope;
    const now = floor.resolve(history);
    // Where positions decide nothing they would only pile up.
    const isHeeded = history.isTracking && now !== 'unprovable' && now !== 'sticky';
    if (isHeeded && history.clusterId !== undefined)
      floor.claim({ clusterId: history.clusterId, ...position }, performance.now());
  }

  /** It must run again. @param position of the change that it must show; `undefined` where nobody knows it */
  wake(position?: ChangePosition): void {
    if (this.isOver) return;
    if (position !== undefined) this.#wanted = newest(this.#wanted, position);
    if (this.#isDue) return;
    this.#isDue = true;
    this.#plan();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#over.abort();
    for (const watcher of this.#watchers) watcher.notify();
  }

  /** Its one timer: until it may run where it is due, else until its state is too old. */
  #plan(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.isOver || this.#isRunning) return;
    if (!this.#isDue) {
      const grace = this.#graceMillis;
      this.#wait(this.#isGraced ? grace : this.#boundMillis - grace, () => this.#checkAge());
      return;
    }
    const { minIntervalMillis } = this.subject;
    const due = Math.max(this.#startedAt + minIntervalMillis, this.#failedAt + this.#backoffMillis);
    // Never at once: what changes together is often told one by one.
    this.#wait(Math.max(0, due - performance.now()), () => void this.#run());
  }

  #wait(millis: number, then: () => void): void {
    this.#timer = setTimeout(then, millis);
    this.#timer.unref();
  }

  get #backoffMillis(): number {
    if (this.#failureCount === 0) return 0;
    const millis = Math.min(MOST_BACKOFF_MILLIS, FIRST_BACKOFF_MILLIS * 2 ** (this.#failureCount - 1));
    return millis * (0.75 + Math.random() / 2);
  }

  get #graceMillis(): number {
    return Math.min(MOST_GRACE_MILLIS, this.#boundMillis / 2);
  }

  /**
   * The safety net: whatever was missed, its state is shown to hold, or the query runs. It looks
   * twice: the first look has definitions compared, the second one finds them known.
   */
  #checkAge(): void {
    const mostMillis = this.#isGraced ? this.#boundMillis : this.#boundMillis - this.#graceMillis;
    if (this.#state?.holdsSince(performance.now() - mostMillis) === true) this.#isGraced = false;
    else if (!this.#isGraced) this.#isGraced = true;
    else {
      this.#isGraced = false;
      this.#isDue = true;
    }
    this.#plan();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    await this.#home.enter();
    try {
      if (!this.isOver) await this.#readAnew();
      this.#failureCount = 0;
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#home.leave();
      this.#isRunning = false;
      this.#plan();
    }
  }

  async #readAnew(): Promise<void> {
    const { subject } = this;
    const text = await this.#reader.textOf(subject);
    if (text !== this.#text) {
      this.#text = text;
      this.#tables = wakingTables(subject, text);
      // First: what changes from here on wakes it.
      this.#home.file(this, this.#tables);
    }
    this.#isDue = false;
    this.#isGraced = false;
    this.#startedAt = performance.now();
    const known = this.#reader.latestChange(this.#tables);
    if (known !== undefined) this.#wanted = newest(this.#wanted, known);
    const asked = this.#wanted;
    if (asked !== undefined) this.#claim(asked);
    const options = {
      priority: this.#state === undefined ? ('normal' as const) : ('low' as const),
      ...(subject.maxStalenessMillis === undefined ? {} : { maxStalenessMillis: subject.maxStalenessMillis }),
    };
    const reading = await this.#reader.read(subject, text, this.#scope, options, this.#over.signal);
    if (this.isOver) return;
    const { role, lsn, timeline } = reading.record;
    // What the primary shows is behind its log at times: then it is asked for again, at the bound.
    if (role === 'replica' && this.#wanted === asked) this.#wanted = undefined;
    const latest = this.#reader.latestChange(this.#tables);
    const isBehind = role === 'replica' && lsn !== undefined && latest?.timeline === timeline && latest.lsn > lsn;
    const isSame = this.#state?.reading.digest === reading.digest;
    const serial = this.#state === undefined ? 1 : this.#state.serial + (isSame ? 0 : 1);
    this.#state = new LiveState(reading, serial, this.#reader.fleet.history, this.subject.tag);
    if (isBehind) this.wake(latest);
    for (const watcher of this.#watchers) watcher.notify();
  }

  #fail(error: unknown): void {
    if (this.isOver) return;
    this.#failureCount++;
    this.#failedAt = performance.now();
    this.#isDue = true;
    if (this.#failureCount === 1) this.#home.failed(this, error);
    for (const watcher of this.#watchers) watcher.failed(error);
  }
}

/** Of a later timeline, whatever its place there. */
function newest(a: ChangePosition | undefined, b: ChangePosition): ChangePosition {
  if (a === undefined || b.timeline !== a.timeline) return a !== undefined && a.timeline > b.timeline ? a : b;
  return b.lsn > a.lsn ? b : a;
}
