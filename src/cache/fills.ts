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
import type { CacheCounts } from './counts.js';
import type { CacheEntry } from './entry.js';
import { type Flight, Flights } from './flights.js';
import type { CacheGround, RunBelow } from './ground.js';
import type { Judge } from './judge.js';
import type { Keeper } from './keeper.js';
import { KeptAnswer } from './kept-answer.js';
import { inBackgroundOf, type Lookup, rawStatement } from './lookup.js';
import { type Answered, noteAnswer } from './noted.js';
import type { RawField, RawRow } from './raw-answer.js';
import type { HeldLease, SharedRung } from './shared-rung.js';

/** An answer of a server that others can be given. */
interface FromServer extends Answered {
  readonly from: 'server';
  readonly answer: KeptAnswer;
  readonly record: RouteRecord;
  readonly source: AnswerSource;
  /** Our monotonic clock when it had been answered. */
  readonly endedAt: number;
}

/** What a read has brought. */
type Flown =
  | FromServer
  /** An entry of the rung that processes share. */
  | { readonly from: 'shared'; readonly entry: CacheEntry }
  /** A result for its caller alone. */
  | { readonly from: 'elsewhere'; readonly result: QueryResult };

/** So often a read waits for one of others before it is sent by itself. */
const MAX_WAITS = 3;
/** What another process fills is waited for at least so long. */
const LEAST_PATIENCE_MILLIS = 4;

export class Fills {
  readonly #ground: CacheGround;
  readonly #judge: Judge;
  readonly #keeper: Keeper;
  readonly #shared: SharedRung | undefined;
  readonly #counts: CacheCounts;
  readonly #refreshCount: number;
  readonly #flights = new Flights<Flown>();
  #refreshing = 0;

  /** @param refreshCount how many may be read anew in the background at a time */
  constructor(
    ground: CacheGround,
    judge: Judge,
    keeper: Keeper,
    shared: SharedRung | undefined,
    counts: CacheCounts,
    refreshCount: number,
  ) {
    this.#shared = shared;
    this.#ground = ground;
    this.#judge = judge;
    this.#keeper = keeper;
    this.#counts = counts;
    this.#refreshCount = refreshCount;
  }

  async read<Row extends QueryResultRow>(lookup: Lookup, run: RunBelow<Row>): Promise<QueryResult<Row>> {
    const { key, call } = lookup;
    for (let waits = 0; waits < MAX_WAITS; waits++) {
      const flight = this.#flights.get(key);
      if (flight === undefined) return this.#lead(lookup, run);
      const { isBoarding, asked } = flight;
      const asksNoMore = (): boolean => isBoarding && this.#judge.asksNoMore(lookup.reading, asked);
      const landed = await abortable(flight.landed, call.signal);
      if ('error' in landed) {
        // What a server says of the statement, it says to all who ask for no more than its first caller.
        if (isServerError(landed.error) && asksNoMore()) throw landed.error;
        continue;
      }
      const flown = landed.answer;
      if (flown.from === 'elsewhere') break;
      if (flown.from === 'shared') {
        if (this.#judge.meets(flown.entry, lookup)) return this.#judge.give(flown.entry, lookup, 'shared');
        continue;
      }
      const { source, entry, endedAt } = flown;
      if (!(entry === undefined ? asksNoMore() : this.#judge.meets(entry, lookup))) continue;
      this.#counts.joinedCount++;
      const { trace, key: partition, requirement } = lookup.reading;
      trace?.ended(source.server, endedAt, partition, lookup.tables);
      if (entry !== undefined && requirement.consistency !== 'eventual') trace?.sights?.recognise(lookup.tables, entry);
      return this.#given<Row>(flown, lookup);
    }
    return this.#lead(lookup, run);
  }

  async #lead<Row extends QueryResultRow>(lookup: Lookup, run: RunBelow<Row>): Promise<QueryResult<Row>> {
    const { key, reading } = lookup;
    const at = performance.now();
    const demand = this.#judge.demandOf(reading, at);
    const flight = this.#flights.begin(key, { demand, at });
    let flown: Flown;
    try {
      flown = await (this.#shared === undefined
        ? this.#fly(lookup, run, flight, undefined)
        : this.#flyBy(this.#shared, lookup, run, flight));
    } catch (error) {
      flight.land({ error });
      throw error;
    } finally {
      this.#flights.end(key, flight);
    }
    flight.land({ answer: flown });
    switch (flown.from) {
      case 'server':
        return this.#given<Row>(flown, lookup);
      case 'shared':
        return this.#judge.give<Row>(flown.entry, lookup, 'shared');
      case 'elsewhere':
        return flown.result as QueryResult<Row>;
    }
  }

  /** A result of the caller's own. */
  #given<Row extends QueryResultRow>(flown: FromServer, lookup: Lookup): QueryResult<Row> {
    const result = flown.answer.give(lookup.rowMode, lookup.types);
    markRoute(result, flown.record);
    this.#note(lookup, flown);
    return result as QueryResult<Row>;
  }

  #note(lookup: Lookup, answered: Answered): void {
    const { notes } = lookup.asker;
    if (notes !== undefined) noteAnswer(notes, lookup, answered, this.#ground.fleet.history);
  }

  #requestOf({ call, asker, reading }: Lookup, statement: Statement): StatementRequest {
    const { options, entry, signal } = call;
    return this.#ground.requests.onTerms(reading, asker, options ?? {}, entry, signal, statement);
  }

  /** What processes share is asked first; of those that do not find it there one reads, and keeps it for all. */
  async #flyBy<Row extends QueryResultRow>(
    shared: SharedRung,
    lookup: Lookup,
    run: RunBelow<Row>,
    flight: Flight<Flown>,
  ): Promise<Flown> {
    const { key, call, asker } = lookup;
    const isGood = (entry: CacheEntry): boolean => this.#judge.meets(entry, lookup);
    const taken = (entry: CacheEntry): Flown => {
      if (this.#flights.owns(key, flight)) this.#keeper.keep(key, entry);
      return { from: 'shared', entry };
    };
    // What is read anew in the background is there already.
    const found = asker === call.scope ? await shared.find(lookup) : undefined;
    if (found !== undefined && isGood(found)) return taken(found);
    const lease = await shared.lease(lookup);
    if (lease?.isGranted === false) {
      const filled = await shared.awaitFill(lookup, this.#patienceFor(lookup), isGood);
      if (filled !== undefined) return taken(filled);
    }
    call.signal?.throwIfAborted();
    return this.#fly(lookup, run, flight, lease?.isGranted === true ? lease : undefined);
  }

  /** About as long as its own read would take. */
  #patienceFor({ call }: Lookup): number {
    const expectedMillis = call.statement.profile?.expectedMillis ?? 0;
    return Math.min(this.#ground.fleet.settings.waitMillis, LEAST_PATIENCE_MILLIS + 2 * expectedMillis);
  }

  async #fly<Row extends QueryResultRow>(
    lookup: Lookup,
    run: RunBelow<Row>,
    flight: Flight<Flown>,
    lease: HeldLease | undefined,
  ): Promise<Flown> {
    const { key, text } = lookup;
    const { history } = this.#ground.fleet;
    const { era } = history.clock;
    const request = this.#requestOf(lookup, rawStatement(lookup));
    const sights = lookup.reading.trace?.sights;
    const readCount = sights?.readCount ?? 0;
    const result = await run(request).catch((error: unknown) => {
      if (lease !== undefined) this.#shared?.release(lookup);
      throw error;
    });
    const endedAt = performance.now();
    const record = routeRecordOf(result);
    const source = record?.source;
    if (source === undefined || record === undefined || !isRaw(result)) {
      const isAsWanted = record?.role !== 'replica' && !isRaw(result);
      // It was read on a replica, or for nothing: how it would be parsed is not known, and it is sent as it was asked for.
      const own = isAsWanted ? result : await run(this.#requestOf(lookup, lookup.call.statement));
      if (own === result) this.#note(lookup, { record, entry: undefined, askedAt: request.startedAt });
      if (lease !== undefined) this.#shared?.release(lookup);
      return { from: 'elsewhere', result: own };
    }
    const columns = text.columnsOf(result.fields as RawField[], source.types);
    const answer = new KeptAnswer(
      result.command,
      result.rowCount,
      columns,
      (result.rows as unknown as RawRow[]).slice(),
    );
    const entry =
      era === history.clock.era ? this.#keeper.entryOf(answer, record, request.startedAt, endedAt, lookup) : undefined;
    // The session has seen this answer, and nothing else meanwhile: it may be shown again.
    if (entry !== undefined && sights?.readCount === readCount + 1) sights.recognise(lookup.tables, entry);
    const isKept = entry !== undefined && this.#flights.owns(key, flight);
    if (entry === undefined) this.#counts.unkeptCount++;
    if (isKept) this.#keeper.keep(key, entry);
    if (lease !== undefined) {
      if (isKept) inBackground(() => void this.#shared?.keep(entry, lookup, lease));
      else this.#shared?.release(lookup);
    }
    return { from: 'server', answer, record, source, entry, askedAt: request.startedAt, endedAt };
  }

  /**
   * Reads an answer anew before it is too old, so that no call waits for it: within a budget, and on
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
      // A call that needs it sends a read of its own, and gets the error.
      over,
    );
  }

  /** What is read at present is not kept. */
  disown(): void {
    this.#flights.disown();
  }
}
