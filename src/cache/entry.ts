/**
 * An answer that is kept, as a rung: how much of the primary's history it shows, and how fresh it
 * is. What it holds never changes; time, the primary's log and what changes are told judge it.
 */
import { performance } from '../clock.js';
import type { Rung } from '../freshness/demand.js';
import type { Lsn } from '../freshness/lsn.js';
import type { Position } from '../freshness/position.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Shown } from '../freshness/read-trace.js';
import type { UpperBound } from '../freshness/upper-bound.js';
import { bytesOf } from './bytes.js';
import type { KeptAnswer } from './kept-answer.js';
import type { Particulars } from './particulars.js';
import type { RawField } from './raw-answer.js';

/** Where and when an answer was read. */
export interface Origin {
  /** The replica's name. */
  readonly node: string;
  /** The server, in the life that it had then. */
  readonly server: string;
  readonly clusterId: string;
  readonly timeline: number;
  /** What the replica was known to have replayed before the statement ran. */
  readonly validFrom: Lsn;
  /** Our monotonic clock before the statement was asked for, and when it had been answered; −∞ where that was in another process. */
  readonly askedAt: number;
  readonly endedAt: number;
  /** It shows nothing beyond; `undefined` where the moment of its end says so. */
  readonly seenUpTo: Lsn | undefined;
  /** The same, as the server says that was asked behind it; `undefined` where none was. */
  readonly upperBound: UpperBound | undefined;
  /** The moment of our monotonic clock up to which it showed every commit when it was read. */
  readonly freshAsOf: number;
}

/** What an entry holds beside its answer, measured. */
const RECORD_BYTES = 450;
const DEPENDENCE_BYTES = 330;
/**
 * So long after it was read changes make it no younger: settings that a server takes up while it
 * runs are in no log.
 */
const MAX_ADVANCE_MILLIS = 600_000;
const NO_FIELDS: readonly RawField[] = [];

export class CacheEntry implements Rung, Shown {
  readonly answer: KeptAnswer;
  readonly origin: Origin;
  readonly particulars: Particulars;
  readonly #history: PrimaryHistory;
  #freshAsOf: number;
  #upTo: Position | undefined;
  #isKept = true;
  readonly #era: number;
  #judgedIn = -1;
  /** Nothing that it depends on has changed up to there; `undefined` where that is not known to be beyond its own position. */
  #through: Lsn | undefined;
  readonly #madeAt = performance.now();
  /** Whether it is being read anew. */
  isRefreshing = false;
  /** From this share of its greatest age on it is read anew: not that of all at once that were read together. */
  readonly refreshShare = 0.75 + Math.random() * 0.15;

  constructor(answer: KeptAnswer, origin: Origin, particulars: Particulars, history: PrimaryHistory) {
    this.answer = answer;
    this.origin = origin;
    this.particulars = particulars;
    this.#history = history;
    this.#era = history.clock.era;
    const { freshAsOf, askedAt, seenUpTo, clusterId, timeline } = origin;
    this.#freshAsOf = particulars.isTimed ? Math.min(freshAsOf, askedAt) : freshAsOf;
    if (seenUpTo !== undefined) this.#upTo = { clusterId, timeline, lsn: seenUpTo };
  }

  /** The columns are those of other entries, too. */
  get bytes(): number {
    const { dependence } = this.particulars;
    const ownBytes = dependence === undefined ? RECORD_BYTES : RECORD_BYTES + DEPENDENCE_BYTES;
    return ownBytes + bytesOf(this.answer.raw(NO_FIELDS));
  }

  get costMillis(): number {
    return this.particulars.costMillis;
  }

  get server(): string {
    return this.origin.server;
  }

  get askedAt(): number {
    return this.origin.askedAt;
  }

  get endedAt(): number {
    return this.origin.endedAt;
  }

  get upperBound(): UpperBound | undefined {
    return this.origin.upperBound;
  }

  get lsn(): Lsn | undefined {
    if (this.#era !== this.#history.clock.era) return undefined;
    if (this.#judgedIn !== this.#history.epoch) this.#judge();
    if (!this.#isKept || !this.#isWithinSight) return undefined;
    return this.#through ?? this.origin.validFrom;
  }

  /** Whether changes have shown it to hold beyond the position that it was read at. */
  get isAdvanced(): boolean {
    return this.#through !== undefined;
  }

  /** Moves it to the position up to which nothing that it depends on has changed. */
  advance(): void {
    const { dependence } = this.particulars;
    if (dependence === undefined || performance.now() - this.#madeAt > MAX_ADVANCE_MILLIS) return;
    const { lsn } = this;
    const { timeline, validFrom } = this.origin;
    if (lsn === undefined || timeline !== this.#history.timelines.timeline) return;
    const through = dependence.throughFrom(validFrom, timeline);
    if (through === undefined || through <= lsn) return;
    this.#through = through;
    this.redate();
  }

  /** Whether the primary is known to have been as far as what it shows: a session that is shown more could not be held to it. */
  get #isWithinSight(): boolean {
    const { seenUpTo, timeline } = this.origin;
    const { timelines, highest } = this.#history;
    return seenUpTo === undefined || timeline !== timelines.timeline || seenUpTo <= highest;
  }

  /** As far as it is known without a look at the primary's log; see `redate`. */
  get freshAsOf(): number {
    return this.#freshAsOf;
  }

  get upTo(): Position | undefined {
    this.#upTo ??= this.#history.covering(this.origin.endedAt, 0);
    return this.#upTo;
  }

  /** Where the primary has written nothing since, it is as fresh as the latest look at the primary. */
  redate(): void {
    const { timeline, validFrom } = this.origin;
    if (this.particulars.isTimed || timeline !== this.#history.timelines.timeline) return;
    this.#freshAsOf = Math.max(this.#freshAsOf, this.#history.clock.freshAsOf(this.#through ?? validFrom));
  }

  /** After a failover or restart of the primary, as any position. */
  #judge(): void {
    const { clusterId, timeline, validFrom } = this.origin;
    const history = this.#history;
    this.#judgedIn = history.epoch;
    // The log may have been left before that.
    this.#through = undefined;
    const fate = history.timelines.fateOf(timeline, validFrom, history.highest);
    // A replica may be seen ahead of the primary, which was asked before.
    const isGood = timeline === history.timelines.timeline ? fate === 'kept' || fate === 'ahead' : fate === 'kept';
    this.#isKept = clusterId === history.clusterId && isGood && this.#showsNothingLost();
  }

  /** Whether all that it may show, beyond what it is known to show, is in the history of a later timeline. */
  #showsNothingLost(): boolean {
    const { timeline, endedAt } = this.origin;
    const { timelines, highest } = this.#history;
    if (timeline === timelines.timeline) return true;
    const upTo = this.#upTo ?? this.#history.covering(endedAt, timeline);
    return upTo?.timeline === timeline && timelines.fateOf(timeline, upTo.lsn, highest) === 'kept';
  }
}
