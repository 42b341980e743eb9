/**
 * What is known of the primary's course through its log: which cluster it is, which timelines it has been on, and when it
 * stood where. Fed with observations, it never asks anybody anything.
 */
import { performance, wallMillis } from '../clock.js';
import type { Lsn } from './lsn.js';
import { type Position, Timelines } from './position.js';
import { RefusalCounts, type RefusedPositions } from './refused-positions.js';
import { StalenessClock } from './staleness-clock.js';

/** One answer of the primary about itself. */
export interface PrimarySample {
  /** Which node it was. */
  readonly node: string;
  /** When that node first answered, by our monotonic clock, in milliseconds. */
  readonly heardSince: number;
  /** Our monotonic clock before the question was sent, in milliseconds. */
  readonly sentAt: number;
  /** The server's start time: another one means that it was restarted in between. */
  readonly startedAt: string;
  readonly clusterId: string;
  readonly timeline: number;
  /** The normalised insert LSN. */
  readonly lsn: Lsn;
  /** Where a promoted server left the timeline before its own, and where one that crashed had to replay to; `undefined` after a clean start. */
  readonly forkLsn: Lsn | undefined;
}

/** What all servers have said, one by one. */
interface Survey {
  /** The latest timeline that any of them claims to write, believed or not: replicas are asked whether they follow it. */
  claimedTimeline: number;
  /** When the last complete survey was sent: each has answered a question asked after that; −∞ while one does not. */
  sentAt: number;
}

/** What was known before a server claimed a later timeline: it holds again if no other server bears that claim out. */
interface Before {
  readonly node: string | undefined;
  readonly startedAt: string | undefined;
  readonly timelines: Timelines;
  readonly highest: Lsn;
  readonly isAmbiguous: boolean;
}

/** More log than any server writes in a millisecond (16 GiB a second): what lies beyond is no position of this cluster. */
const MOST_BYTES_PER_MILLI = 2n ** 24n;
/** Timelines that may be left one after the other before any replica is seen to follow. */
const BEFORE_KEPT = 16;
/** Samples that come along with writes are kept no closer together. */
const SPACING_MILLIS = 5;
/** What a clock or an answer may be late. */
const SLACK_MILLIS = 1_000;

export class PrimaryHistory {
  #stickinessMillis: number | undefined;
  clock = new StalenessClock();
  readonly refused: RefusalCounts;
  #clusterId: string | undefined;
  #node: string | undefined;
  #startedAt: string | undefined;
  #timelines = new Timelines(0);
  #left: { readonly timeline: number; readonly clock: StalenessClock } | undefined;
  #isAmbiguous = false;
  #hasRestarted = false;
  #highest: Lsn = 0n;
  #sentAt = Number.NEGATIVE_INFINITY;
  /** When the newest sample came, by the wall clock, which goes on while a machine sleeps. */
  #sampledAt = 0;
  readonly #before: Before[] = [];

  /** Grows whenever positions must be judged anew: another cluster, timeline or start of the server. */
  epoch = 0;

  /** What all servers have said. */
  readonly survey: Survey = { claimedTimeline: 0, sentAt: Number.NEGATIVE_INFINITY };

  /** @param stickinessMillis where no positions are tracked from the start @param onRefused told of every position that is given up */
  constructor(stickinessMillis?: number, onRefused?: (why: keyof RefusedPositions) => void) {
    this.#stickinessMillis = stickinessMillis;
    this.refused = new RefusalCounts(onRefused);
  }

  /** How long a write keeps reads on the primary where no LSN is tracked; `undefined` where they are. */
  get stickinessMillis(): number | undefined {
    return this.#stickinessMillis;
  }

  /** Whether positions are known at all. */
  get isTracking(): boolean {
    return this.#stickinessMillis === undefined;
  }

  /** The servers tell no positions: a window after each write takes their place, for good. */
  loseTrack(stickinessMillis: number): void {
    this.#stickinessMillis = stickinessMillis;
    this.#restart(this.#timelines);
  }

  /** Our clock was not what it should be: how long ago the primary stood where is not known any more. @param now what it tells from here on */
  forgetTimes(now: number): void {
    this.clock = new StalenessClock(this.clock.version + 1, this.clock.era + 1);
    if (this.#sentAt > now) this.#sentAt = Number.NEGATIVE_INFINITY;
    this.survey.sentAt = Number.NEGATIVE_INFINITY;
  }

  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  /** The primary's start; another one means another server, or another life of it. */
  get startedAt(): string | undefined {
    return this.#startedAt;
  }

  get timelines(): Timelines {
    return this.#timelines;
  }

  /** When the newest sample was asked for; −∞ without one. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** The highest position that the primary has been seen at; `undefined` before the first sample. */
  get position(): Position | undefined {
    if (this.#clusterId === undefined) return undefined;
    return { clusterId: this.#clusterId, timeline: this.#timelines.timeline, lsn: this.#highest };
  }

  /** The highest LSN that the primary has been seen at since its start. */
  get highest(): Lsn {
    return this.#highest;
  }

  /** Whether two servers were seen to write the current timeline: being on it says nothing about a replica then. */
  get isAmbiguous(): boolean {
    return this.#isAmbiguous;
  }

  /** Whether the primary was restarted on its timeline: a crash can have taken positions with it that were honestly handed out. */
  get hasRestarted(): boolean {
    return this.#hasRestarted;
  }

  /** The timelines that were left for a later one on no other word than that of the server that writes it, the first one first. */
  get unconfirmed(): readonly { readonly timeline: number; readonly startedAt: string | undefined }[] {
    return this.#before.map(({ timelines, startedAt }) => ({ timeline: timelines.timeline, startedAt }));
  }

  /** How long ago the newest sample was taken, in milliseconds; ∞ without one. */
  ageMillis(now: number): number {
    return this.#clusterId === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(0, now - this.#sentAt, wallMillis() - this.#sampledAt);
  }

  /** How far the log can have been written by then, from where it was last seen. */
  ceilingAt(now: number): Lsn {
    const millis = Math.ceil(this.ageMillis(now)) + SLACK_MILLIS;
    return Number.isFinite(millis) ? this.#highest + BigInt(millis) * MOST_BYTES_PER_MILLI : 2n ** 64n;
  }

  /** Another server is shown to follow the present timeline: what was before will not come back. */
  keepTimeline(): void {
    this.#before.length = 0;
  }

  /**
   * The server whose claim began the present timeline is gone, and no other server bears it out: what was known before, of `timeline` or an earlier one, holds again. Positions that were handed out
   * on its word say nothing, should another server ever begin a timeline of that number.
   */
  disown(timeline: number): void {
    const at = this.#before.findLastIndex(({ timelines }) => timelines.timeline <= timeline);
    const [before, ...after] = this.#before.splice(Math.max(0, at));
    if (before === undefined) return;
    const { node, startedAt, highest, isAmbiguous } = before;
    const disowned = [...after, { timelines: this.#timelines, highest: this.#highest }];
    this.#left = undefined;
    this.#restart(
      disowned.reduce((kept, one) => kept.disowning(one.timelines.timeline, one.highest), before.timelines),
    );
    this.#node = node;
    this.#startedAt = startedAt;
    this.#highest = highest;
    this.#isAmbiguous = isAmbiguous;
    // A holder of a position on that timeline has it honestly, and has written here before.
    this.#hasRestarted = true;
  }

  add(sample: PrimarySample): void {
    if (sample.clusterId !== this.#clusterId) {
      this.#clusterId = sample.clusterId;
      this.#before.length = 0;
      this.#remember(new Timelines(0));
      this.#restart(new Timelines(0).continuedOn(sample.timeline, sample.forkLsn));
    } else if (sample.timeline > this.#timelines.timeline) {
      this.#remember(this.#timelines);
      this.#left = { timeline: this.#timelines.timeline, clock: this.clock };
      this.#restart(this.#timelines.continuedOn(sample.timeline, sample.forkLsn));
    } else if (sample.timeline < this.#timelines.timeline) {
      return; // a server that has been left behind: its LSNs say nothing about this history
    } else if (sample.startedAt !== this.#startedAt) {
      const isOther = sample.node !== this.#node && !this.#isSuccessor(sample);
      // A crash can take unflushed log with it, so that the same LSN is written a second time with other content.
      this.#restart(this.#timelines);
      this.#hasRestarted = true;
      this.#isAmbiguous = isOther && this.isTracking;
      // A position of that timeline may be one of either server's log.
      if (this.#isAmbiguous) this.clock = new StalenessClock(this.clock.version + 1, this.clock.era + 1);
    }
    this.#node = sample.node;
    this.#startedAt = sample.startedAt;
    this.#sentAt = sample.sentAt;
    this.#sampledAt = wallMillis();
    if (sample.lsn > this.#highest) this.#highest = sample.lsn;
    if (this.isTracking) this.clock.sample(sample.sentAt, sample.lsn);
  }

  /**
   * A server was seen there behind a statement that only a primary runs.
   * @param startedAt the start of that server
   * @param sentAt our monotonic clock before the statement was sent
   * @param isAwaited whether somebody waits for a sample
   * @returns whether it is the primary of this history, and can be there
   */
  pass({ clusterId, timeline, lsn }: Position, startedAt: string, sentAt: number, isAwaited: boolean): boolean {
    const isPresent = clusterId === this.#clusterId && timeline === this.#timelines.timeline;
    if (!isPresent || startedAt !== this.#startedAt || !this.isTracking) return false;
    if (lsn > this.#highest) {
      if (lsn > this.ceilingAt(performance.now())) return false;
      this.#highest = lsn;
    }
    if (sentAt - this.#sentAt > (isAwaited ? 0 : SPACING_MILLIS)) {
      this.#sentAt = sentAt;
      this.#sampledAt = wallMillis();
      this.clock.sample(sentAt, lsn);
    }
    return true;
  }

  /**
   * The position that covers every write which had returned by `endedAt`, as far as it survived; `undefined` until a sample does.
   * @param timeline the one the write ran on; 0 when it was not known
   */
  covering(endedAt: number, timeline: number): Position | undefined {
    if (this.#clusterId === undefined) return undefined;
    const clusterId = this.#clusterId;
    // The timeline's own samples tell whether the write was lost with it; a later primary has whatever was kept.
    const before = timeline === this.#left?.timeline ? this.#left.clock.firstAfter(endedAt) : undefined;
    if (before !== undefined) return { clusterId, timeline, lsn: before };
    const lsn = this.clock.firstAfter(endedAt);
    return lsn === undefined ? undefined : { clusterId, timeline: this.#timelines.timeline, lsn };
  }

  /**
   * Whether it can be no other server than the last one, at another address. Two standbys that never met can each be promoted to the same timeline, but
   * no server is promoted to the first; a copy from before begins where its original has been already; and a server that answered beside that is not the same.
   */
  #isSuccessor({ lsn, heardSince }: PrimarySample): boolean {
    return this.#timelines.timeline === 1 && lsn >= this.#highest && heardSince > this.#sentAt;
  }

  #remember(timelines: Timelines): void {
    // The first two are those of the time before all claims: nothing was known, or a replica followed, and then the primary of that time.
    if (this.#before.length === BEFORE_KEPT) this.#before.splice(2, 1);
    this.#before.push({
      node: this.#node,
      startedAt: this.#startedAt,
      timelines,
      highest: this.#highest,
      isAmbiguous: this.#isAmbiguous,
    });
  }

  #restart(timelines: Timelines): void {
    const { version, era } = this.clock;
    this.#timelines = timelines;
    this.#highest = 0n;
    this.#isAmbiguous = false;
    this.#hasRestarted = false;
    this.clock = new StalenessClock(version + 1, era);
    this.epoch++;
  }
}
