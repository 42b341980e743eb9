/**
 * Reads on the rungs below whose answers are kept: of those that ask for the same at the same time
 * one is sent, and each of the others judges its answer as any other rung. Only answers of replicas
 * are kept: what the primary's log says and what the primary shows are not the same.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import { abortable } from '../deadline.js';
import { read } from '../execute/read.js';
import type { Statement, StatementRequest } from '../execute/request.js';
import { markRoute, type RouteRecord, routeRecordOf } from '../execute/route.js';
import type { AnswerSource } from '../nodes/answer-source.js';
import { isServerError } from '../postgres/errors.js';
import { isRaw } from '../postgres/raw-results.js';
import { bytesOf } from './bytes.js';
import type { CacheCounts } from './counts.js';
import { CacheEntry } from './entry.js';
import { type Asked, type Flight, Flights } from './flights.js';
import type { CacheGround, RunBelow } from './ground.js';
import { KeptAnswer } from './kept-answer.js';
import { inBackgroundOf, type Lookup, rawStatement } from './lookup.js';
import type { MemoryStore } from './memory-store.js';
import type { RawField, RawRow } from './raw-answer.js';

/** What a read on the rungs below has brought: an answer that others can be given, or one for its caller alone. */
type Flown =
  | {
      readonly answer: KeptAnswer;
      readonly record: RouteRecord;
      /** `undefined` for what is for its caller alone. */
      readonly source: AnswerSource | undefined;
      /** `undefined` for what is not to be kept. */
      readonly entry: CacheEntry | undefined;
      readonly endedAt: number;
    }
  | { readonly answer: undefined; readonly source: undefined; readonly result: QueryResult };

/** So often a read waits for one of others before it is sent by itself. */
const MAX_WAITS = 3;

export class Fills {
  readonly #ground: CacheGround;
  readonly #memory: MemoryStore<CacheEntry>;
  readonly #counts: CacheCounts;
  readonly #refreshCount: number;
  readonly #flights = new Flights<Flown>();
  #refreshing = 0;

  /** @param refreshCount how many may be read anew in the background at a time */
  constructor(ground: CacheGround, memory: MemoryStore<CacheEntry>, counts: CacheCounts, refreshCount: number) {
    this.#ground = ground;
    this.#memory = memory;
    this.#counts = counts;
    this.#refreshCount = refreshCount;
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
      const { isBoarding, asked } = flight;
      const asksNoMore = (): boolean => isBoarding && this.#asksNoMore(lookup, asked);
      const landed = await abortable(flight.landed, call.signal);
      if ('error' in landed) {
        // What a server says of the statement, it says to all who ask for no more than its first caller.
        if (isServerError(landed.error) && asksNoMore()) throw landed.error;
        continue;
      }
      const flown = landed.answer;
      if (flown.source === undefined) break;
      const { answer, record, source, entry, endedAt } = flown;
      if (!(entry === undefined ? asksNoMore() : meets(entry))) continue;
      this.#counts.joinedCount++;
      lookup.reading.trace?.ended(source.server, endedAt, lookup.reading.key, lookup.tables);
      return given<Row>(answer, record, lookup);
    }
    return this.#lead(lookup, run);
  }

  async #lead<Row extends QueryResultRow>(lookup: Lookup, run: RunBelow<Row>): Promise<QueryResult<Row>> {
    const { key, reading } = lookup;
    const at = performance.now();
    const demand = this.#ground.fleet.selection.demandOf(reading, at);
    const flight = this.#flights.begin(key, { demand, at });
    let flown: Flown;
    try {
      flown = await this.#fly(lookup, run, flight);
    } catch (error) {
      flight.land({ error });
      throw error;
    } finally {
      this.#flights.end(key, flight);
    }
    const { answer } = flown;
    flight.land({ answer: flown });
    return answer === undefined ? (flown.result as QueryResult<Row>) : given<Row>(answer, flown.record, lookup);
  }

  /** Whether what the first caller was answered will do here, where nothing else tells how fresh that is. */
  #asksNoMore({ reading }: Lookup, { demand: first, at }: Asked): boolean {
    const own = this.#ground.fleet.selection.demandOf(reading, at);
    if (typeof first === 'string' || typeof own === 'string') return false;
    const { trace, requirement } = reading;
    const hasSeen = trace !== undefined && (trace.server !== undefined || trace.hasUnshown);
    if (hasSeen && requirement.consistency !== 'eventual') return false;
    return own.floor <= first.floor && own.freshSince <= first.freshSince;
  }

  #requestOf({ call, asker, reading }: Lookup, statement: Statement): StatementRequest {
    const { options, entry, signal } = call;
    return this.#ground.requests.onTerms(reading, asker, options ?? {}, entry, signal, statement);
  }

  async #fly<Row extends QueryResultRow>(lookup: Lookup, run: RunBelow<Row>, flight: Flight<Flown>): Promise<Flown> {
    const { key, text } = lookup;
    const { history } = this.#ground.fleet;
    const { era } = history;
    const request = this.#requestOf(lookup, rawStatement(lookup));
    const result = await run(request);
    const endedAt = performance.now();
    const record = routeRecordOf(result);
    const types = record?.types;
    if (types === undefined || record === undefined || !isRaw(result)) {
      const isAsWanted = record?.role !== 'replica' && !isRaw(result);
      // It was read on a replica, or for nothing: how it would be parsed is not known, and it is sent as it was asked for.
      const own = isAsWanted ? result : await run(this.#requestOf(lookup, lookup.call.statement));
      return { answer: undefined, source: undefined, result: own };
    }
    const { source } = record;
    const columns = text.columnsOf(result.fields as RawField[], types);
    const answer = new KeptAnswer(result.command, result.rowCount, columns, result.rows as unknown as RawRow[]);
    const entry = era === history.era ? this.#entryOf(answer, record, request, lookup, endedAt) : undefined;
    if (entry === undefined) this.#counts.unkeptCount++;
    else if (this.#flights.owns(key, flight)) this.#keep(key, entry);
    return { answer, record, source, entry, endedAt };
  }

  /** `undefined` for what says nothing of a position, or is no text. */
  #entryOf(
    answer: KeptAnswer,
    record: RouteRecord,
    request: StatementRequest,
    { text, terms, call, settings }: Lookup,
    endedAt: number,
  ): CacheEntry | undefined {
    const { history, answerSources } = this.#ground.fleet;
    const { role, lsn, source, timeline, node, waitedMillis } = record;
    const { clusterId } = history;
    if (role !== 'replica' || lsn === undefined || source?.settings === undefined || clusterId === undefined)
      return undefined;
    // They may have changed since the key was made.
    if (source.settings !== settings || settings !== answerSources.current?.settings || !answer.isText)
      return undefined;
    const isPresent = timeline === history.timelines.timeline;
    const freshAsOf = isPresent ? history.clock.freshAsOf(lsn) : Number.NEGATIVE_INFINITY;
    const { server } = source;
    const origin = {
      ...{ node, server, clusterId, timeline, validFrom: lsn, seenUpTo: undefined, freshAsOf, endedAt },
      askedAt: request.startedAt,
    };
    const isTimed = text.dependencies.repeatability.repeats === 'timed';
    const costMillis = Math.max(0, endedAt - call.entry.startedAt - waitedMillis);
    this.#counts.read(costMillis);
    // The columns are those of other entries, too.
    const bytes = bytesOf({ ...answer, fields: [] });
    const { tags, tables: named } = terms;
    return new CacheEntry(answer, origin, { text, tags, named, bytes, costMillis, isTimed }, history);
  }

  /**
   * Reads an answer anew before it is too old, so that nobody waits for it: within a budget, and on
   * replicas alone.
   */
  refresh(lookup: Lookup, entry: CacheEntry): void {
    const { key } = lookup;
    if (entry.isRefreshing || this.#refreshing >= this.#refreshCount || this.#flights.get(key) !== undefined) return;
    entry.isRefreshing = true;
    this.#refreshing++;
    const over = (): void => {
      entry.isRefreshing = false;
      this.#refreshing--;
    };
    inBackground(() => this.#ground.gate.run((passed) => this.#lead(inBackgroundOf(lookup, passed), read))).then(
      () => {
        over();
        this.#counts.refreshedCount++;
      },
      // Whoever needs it waits for a read of its own, and is told.
      over,
    );
  }

  /** What is read at present is not kept. */
  disown(): void {
    this.#flights.disown();
  }

  /** What was read earlier and comes later takes the place of nothing. */
  #keep(key: string, entry: CacheEntry): void {
    const held = this.#memory.peek(key);
    if (held?.lsn !== undefined && isNewer(held, entry)) return;
    if (this.#memory.set(key, entry) === 'kept') this.#counts.keptCount++;
  }
}

function isNewer({ origin: a }: CacheEntry, { origin: b }: CacheEntry): boolean {
  return a.timeline !== b.timeline ? a.timeline > b.timeline : a.validFrom > b.validFrom;
}

/** A result of the caller's own. */
function given<Row extends QueryResultRow>(
  answer: KeptAnswer,
  record: RouteRecord,
  { rowMode, types }: Lookup,
): QueryResult<Row> {
  const result = answer.give(rowMode, types);
  markRoute(result, record);
  return result as QueryResult<Row>;
}
