/**
 * Reads on the rungs below whose answers are kept: of those that ask for the same at the same time
 * one is sent, and each of the others judges its answer as any other rung. Only answers of replicas
 * are kept: what the primary's log says and what the primary shows are not the same.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import { abortable } from '../deadline.js';
import type { Statement, StatementRequest } from '../execute/request.js';
import { markRoute, type RouteRecord, routeRecordOf } from '../execute/route.js';
import { isServerError } from '../postgres/errors.js';
import { bytesOf } from './bytes.js';
import type { CacheCounts } from './counts.js';
import { CacheEntry } from './entry.js';
import { type Flight, Flights } from './flights.js';
import { KeptAnswer } from './kept-answer.js';
import { type Lookup, rawStatement } from './lookup.js';
import type { MemoryStore } from './memory-store.js';
import { noteAnswer } from './noted.js';
import type { RawField, RawRow } from './raw-answer.js';
import type { CacheGround, RunBelow } from './rung.js';

/** What a read on the rungs below has brought. */
interface Flown {
  readonly answer: KeptAnswer;
  readonly record: RouteRecord;
  /** `undefined` for what is not to be kept. */
  readonly entry: CacheEntry | undefined;
  /** Our monotonic clock before it was asked for, and when it had been answered. */
  readonly askedAt: number;
  readonly endedAt: number;
}

/** So often a read waits for one of others before it is sent by itself. */
const MAX_WAITS = 3;

export class Fills {
  readonly #ground: CacheGround;
  readonly #memory: MemoryStore<CacheEntry>;
  readonly #counts: CacheCounts;
  readonly #flights = new Flights<Flown | undefined>();

  constructor(ground: CacheGround, memory: MemoryStore<CacheEntry>, counts: CacheCounts) {
    this.#ground = ground;
    this.#memory = memory;
    this.#counts = counts;
  }

  /** @param meets whether an answer is fresh enough for the caller */
  async read<Row extends QueryResultRow>(
    lookup: Lookup,
    run: RunBelow<Row>,
    meets: (entry: CacheEntry) => boolean,
  ): Promise<QueryResult<Row>> {
    const { key, call } = lookup;
    for (let waits = 0; waits < MAX_WAITS; waits++) {
      const flight = this.#flights.get(key);
      if (flight === undefined) return this.#lead(lookup, run);
      const { isBoarding } = flight;
      const landed = await abortable(flight.landed, call.signal);
      if ('error' in landed) {
        // What a server says of the statement, it says to all who ask for no more than its first caller.
        if (isBoarding && isServerError(landed.error)) throw landed.error;
        continue;
      }
      if (landed.answer === undefined) break;
      const { record, entry, endedAt } = landed.answer;
      if (!(entry === undefined ? isBoarding : meets(entry))) continue;
      this.#counts.joinedCount++;
      const { source } = record;
      if (source !== undefined) lookup.reading.trace?.ended(source.server, endedAt, lookup.reading.key, lookup.tables);
      return this.#given<Row>(landed.answer, lookup);
    }
    return this.#lead(lookup, run);
  }

  async #lead<Row extends QueryResultRow>(lookup: Lookup, run: RunBelow<Row>): Promise<QueryResult<Row>> {
    const { key } = lookup;
    const flight = this.#flights.begin(key);
    let flown: Flown | undefined;
    try {
      flown = await this.#fly(lookup, run, flight);
    } catch (error) {
      flight.land({ error });
      throw error;
    } finally {
      this.#flights.end(key, flight);
    }
    flight.land({ answer: flown });
    if (flown !== undefined) return this.#given<Row>(flown, lookup);
    // How it would be parsed is not known: it was a read, and is sent once more as it was asked for.
    return run(this.#requestOf(lookup, lookup.call.statement));
  }

  /** A result of the caller's own. */
  #given<Row extends QueryResultRow>(flown: Flown, lookup: Lookup): QueryResult<Row> {
    const { answer, record } = flown;
    const result = answer.give(lookup.rowMode, lookup.types);
    markRoute(result, record);
    const { notes } = lookup.call.scope;
    if (notes !== undefined) noteAnswer(notes, lookup, flown, this.#ground.fleet.history);
    return result as QueryResult<Row>;
  }

  #requestOf({ call, reading }: Lookup, statement: Statement): StatementRequest {
    const { scope, options, entry, signal } = call;
    return this.#ground.requests.onTerms(reading, scope, options ?? {}, entry, signal, statement);
  }

  /** @returns `undefined` for what came in no form that can be kept or given */
  async #fly<Row extends QueryResultRow>(
    lookup: Lookup,
    run: RunBelow<Row>,
    flight: Flight<Flown | undefined>,
  ): Promise<Flown | undefined> {
    const { key, text } = lookup;
    const request = this.#requestOf(lookup, rawStatement(lookup));
    const result: QueryResult = await run(request);
    const endedAt = performance.now();
    const record = routeRecordOf(result);
    const rows = result.rows as unknown as RawRow[];
    if (record?.source === undefined || !areRaw(rows)) return undefined;
    const columns = text.columnsOf(result.fields as RawField[], record.source.types);
    const answer = new KeptAnswer(result.command, result.rowCount, columns, rows);
    const entry = this.#entryOf(answer, record, request, lookup, endedAt);
    if (entry === undefined) this.#counts.unkeptCount++;
    else if (this.#flights.owns(key, flight)) this.#keep(key, entry);
    return { answer, record, entry, askedAt: request.startedAt, endedAt };
  }

  /** `undefined` for what says nothing of a position, or is no text. */
  #entryOf(
    answer: KeptAnswer,
    record: RouteRecord,
    request: StatementRequest,
    { text, terms, call }: Lookup,
    endedAt: number,
  ): CacheEntry | undefined {
    const { history, answerSources } = this.#ground.fleet;
    const { role, lsn, source, timeline, node, waitedMillis } = record;
    const { clusterId } = history;
    if (role !== 'replica' || lsn === undefined || source?.settings === undefined || clusterId === undefined)
      return undefined;
    if (source.settings !== answerSources.current?.settings || !answer.isText) return undefined;
    const isPresent = timeline === history.timelines.timeline;
    const freshAsOf = isPresent ? history.clock.freshAsOf(lsn) : Number.NEGATIVE_INFINITY;
    const { server } = source;
    const origin = {
      ...{ node, server, clusterId, timeline, validFrom: lsn, seenUpTo: undefined, freshAsOf, endedAt },
      askedAt: request.startedAt,
    };
    const isTimed = text.dependencies.repeatability.repeats === 'timed';
    const costMillis = Math.max(0, endedAt - call.entry.startedAt - waitedMillis);
    // The columns are those of other entries, too.
    const bytes = bytesOf({ ...answer, fields: [] });
    this.#counts.missMillis += costMillis;
    const { tags, tables: named } = terms;
    return new CacheEntry(answer, origin, { text, tags, named, bytes, costMillis, isTimed }, history);
  }

  /** What was read earlier and comes later takes the place of nothing. */
  #keep(key: string, entry: CacheEntry): void {
    const held = this.#memory.peek(key);
    if (held !== undefined && isNewer(held, entry)) return;
    if (this.#memory.set(key, entry) === 'kept') this.#counts.keptCount++;
  }
}

function isNewer({ origin: a }: CacheEntry, { origin: b }: CacheEntry): boolean {
  return a.timeline !== b.timeline ? a.timeline > b.timeline : a.validFrom > b.validFrom;
}

/** Whether pg has left all as it travelled; whoever has put a driver of his own beneath may not have. */
function areRaw(rows: readonly unknown[]): boolean {
  const isRaw = (value: unknown): boolean => value === null || typeof value === 'string' || Buffer.isBuffer(value);
  return rows.every((row) => Array.isArray(row) && row.every(isRaw));
}
