/**
 * What is known of the primary's course through its log: which cluster it is, which timelines it has been on, and when it
 * stood where. Fed with observations, it never asks anybody anything.
 */
import type { Lsn } from './lsn.js';
import { History, type Position } from './position.js';
import { StalenessClock } from './staleness-clock.js';

/** One answer of the primary about itself. */
export interface PrimarySample {
  /** Our monotonic clock before the question was sent, in milliseconds. */
  readonly sentAt: number;
  /** The server's start time: another one means that it was restarted in between. */
  readonly startedAt: string;
  readonly clusterId: string;
  readonly timeline: number;
  /** The normalised insert LSN. */
  readonly lsn: Lsn;
  /** Where a promoted server left the timeline before its own; `undefined` for a server that never was a replica since its start. */
  readonly forkLsn: Lsn | undefined;
}

/** How many positions were given up since the start, by why. */
export interface RefusedPositions {
  /** Not a token of this version and length. */
  malformed: number;
  /** Not signed with one of the secrets, or for another subject. */
  forged: number;
  /** Older than the tokens' lifetime. */
  expired: number;
  /** Of another cluster. */
  foreign: number;
  /** Above everything that the primary has written, asked after the position had arrived. */
  ahead: number;
  /** Written on a timeline after it had been left: the write is gone. */
  lost: number;
}

export class PrimaryTrail {
  /** How long a write keeps reads on the primary where no LSN is tracked; `undefined` where they are. */
  readonly stickinessMillis: number | undefined;
  readonly clock = new StalenessClock();
  readonly refused: RefusedPositions = { malformed: 0, forged: 0, expired: 0, foreign: 0, ahead: 0, lost: 0 };
  #clusterId: string | undefined;
  #startedAt: string | undefined;
  #history = new History(0);
  #highest: Lsn = 0n;
  #sentAt = Number.NEGATIVE_INFINITY;

  /** Grows whenever positions must be judged anew: another cluster, timeline or start of the server. */
  epoch = 0;

  constructor(stickinessMillis?: number) {
    this.stickinessMillis = stickinessMillis;
  }

  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  get history(): History {
    return this.#history;
  }

  /** When the newest sample was asked for; −∞ without one. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** The highest position that the primary has been seen at; `undefined` before the first sample. */
  get position(): Position | undefined {
    if (this.#clusterId === undefined) return undefined;
    return { clusterId: this.#clusterId, timeline: this.#history.timeline, lsn: this.#highest };
  }

  /** The highest LSN that the primary has been seen at since its start. */
  get highest(): Lsn {
    return this.#highest;
  }

  add(sample: PrimarySample): void {
    if (sample.clusterId !== this.#clusterId) {
      this.#clusterId = sample.clusterId;
      this.#restart(new History(0).continuedOn(sample.timeline, sample.forkLsn));
    } else if (sample.timeline > this.#history.timeline) {
      this.#restart(this.#history.continuedOn(sample.timeline, sample.forkLsn));
    } else if (sample.timeline < this.#history.timeline) {
      return; // a server that has been left behind: its LSNs say nothing about this history
    } else if (sample.startedAt !== this.#startedAt) {
      // A crash can take unflushed log with it, so that the same LSN is written a second time with other content.
      this.#restart(this.#history);
    }
    this.#startedAt = sample.startedAt;
    this.#sentAt = sample.sentAt;
    if (sample.lsn > this.#highest) this.#highest = sample.lsn;
    if (this.stickinessMillis === undefined) this.clock.sample(sample.sentAt, sample.lsn);
  }

  /**
   * The LSN that covers every write which had returned by `endedAt`; `undefined` until a sample does.
   * @param timeline the one the write ran on; 0 when it was not known
   */
  covering(endedAt: number, timeline: number): Lsn | undefined {
    // On a new timeline the write may be gone: only a fork that was seen says that what is kept lies below it.
    const sameHistory =
      timeline === 0 || timeline === this.#history.timeline || this.#history.leftAt(timeline) !== undefined;
    return sameHistory ? this.clock.firstAfter(endedAt) : undefined;
  }

  #restart(history: History): void {
    this.#history = history;
    this.#highest = 0n;
    this.clock.clear();
    this.epoch++;
  }
}
