/** One answer of a live query, and what it is known to show. It never changes what it holds. */
import type { CacheEntry } from '../cache/entry.js';
import type { KeptAnswer } from '../cache/kept-answer.js';
import type { RouteRecord } from '../execute/route.js';
import type { Position } from '../freshness/position.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import { formatId, type LogPlace } from './state-id.js';

/** What was read. */
export interface Reading {
  readonly answer: KeptAnswer;
  readonly record: RouteRecord;
  /** As a rung; `undefined` for an answer of the primary, and where its position says nothing. */
  readonly entry: CacheEntry | undefined;
  readonly digest: string;
  /** Our monotonic clock before it was asked for. */
  readonly askedAt: number;
  /** And when it had been answered. */
  readonly endedAt: number;
  /** Of which tables it is, as sessions remember them. */
  readonly families: readonly string[];
  /** Where the primary was known to have been before it was asked. */
  readonly primaryAt: Position | undefined;
}

export class LiveState {
  readonly reading: Reading;
  /** The same for all states in a row whose content is equal. */
  readonly serial: number;
  readonly #history: PrimaryHistory;
  readonly #query: string;

  /** @param query names it in ids */
  constructor(reading: Reading, serial: number, history: PrimaryHistory, query: string) {
    this.reading = reading;
    this.serial = serial;
    this.#history = history;
    this.#query = query;
  }

  /** It shows all up to there, as far as that is known now. */
  get place(): LogPlace | undefined {
    const { entry, record } = this.reading;
    entry?.advance();
    const lsn = entry?.lsn ?? record.lsn;
    return record.role !== 'replica' || lsn === undefined ? undefined : { timeline: record.timeline, lsn };
  }

  get id(): string {
    return formatId({ query: this.#query, place: this.place, digest: this.reading.digest });
  }

  /** Whether it is proven to show everything at or before that position. */
  shows({ clusterId, timeline, lsn }: Position): boolean {
    const { timelines, highest } = this.#history;
    const own = this.#shown;
    if (own === undefined || clusterId !== this.#history.clusterId || own.timeline !== timelines.timeline) return false;
    return timeline === own.timeline ? lsn <= own.lsn : timelines.fateOf(timeline, lsn, highest) === 'kept';
  }

  get #shown(): LogPlace | undefined {
    const { entry, record, primaryAt } = this.reading;
    if (record.role !== 'replica') {
      // A write that had returned before the primary stood further on is in what it answers then.
      return primaryAt === undefined ? undefined : { timeline: primaryAt.timeline, lsn: primaryAt.lsn - 1n };
    }
    // What has become of it since, only an entry knows.
    entry?.advance();
    const lsn = entry === undefined ? record.lsn : entry.lsn;
    return lsn === undefined ? undefined : { timeline: record.timeline, lsn };
  }

  /** Whether it is known to be no older than that, at this moment. */
  holdsSince(freshSince: number): boolean {
    const { entry } = this.reading;
    if (entry === undefined) return false;
    entry.advance();
    entry.redate();
    return entry.lsn !== undefined && entry.freshAsOf >= freshSince;
  }
}
