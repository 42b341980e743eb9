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
import { markRoute, routeRecordOf } from '../execute/route.js';
import { isServerError } from '../postgres/errors.js';
import { isRaw } from '../postgres/raw-results.js';
import type { CacheCounts } from './counts.js';
import type { CacheEntry } from './entry.js';
import { type Flight, Flights, type Landed } from './flights.js';
import type { Flown, FromServer } from './flown.js';
import type { CacheGround, RunBelow } from './ground.js';
import type { Judge } from './judge.js';
import type { Keeper } from './keeper.js';
import { KeptAnswer } from './kept-answer.js';
import { inBackgroundOf, type Lookup, rawStatement } from './lookup.js';
import { type Answered, noteAnswer } from './noted.js';
import type { RawField, RawRow } from './raw-answer.js';
import type { HeldLease, SharedRung } from './shared-rung.js';

/** So often a read waits for one of others before it is sent by itself. */
const MAX_WAITS = 3;
/** A read that takes so many times as long as the one before, and `hangMillis` more, is waited for no more. */
const PATIENCE = 4;
/** The next one is waited for so many times as long: what is slow, and does not hang, is not sent by all. */
const LONGER = 2;
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

  read<Row extends QueryResultRow>(lookup: Lookup, run: RunBelow<Row>): Promise<QueryResult<Row>> {
    const flight = this.#flights.get(lookup.key);
    return flight === undefined ? this.#lead(lookup, run) : this.#join(flight, lookup, run);
  }

  async #join<Row extends QueryResultRow>(
    first: Flight<Flown>,
    lookup: Lookup,
    run: RunBelow<Row>,
  ): Promise<QueryResult<Row>> {
    const { key, call } = lookup;
    let flight: Flight<Flown> | undefined = first;
    let patienceMillis: number | undefined;
    for (let waits = 0; waits < MAX_WAITS; waits++, flight = this.#flights.get(key)) {
      if (flight === undefined) break;
      const { isBoarding, asked } = flight;
      const asksNoMore = (): boolean => isBoarding && this.#judge.asksNoMore(lookup.reading, asked);
      const landed: Landed<Flown> = await abortable(flight.landed, call.signal);
      if (landed === 'overdue') {
        // Of all who wait for it one goes by itself, and the others wait for that one, longer than before.
        patienceMillis = LONGER * flight.patienceMillis;
        if (this.#flights.owns(key, flight)) break;
        waits--;
        continue;
      }
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
      trace?.ended(source.server, endedAt, partition, lookup.families, flown.record.upperBound);
      const sights = trace?.sights;
      if (entry !== undefined && requirement.consistency !== 'eventual')
        sights?.recognise(lookup.families, entry, sights.readCount);
      return this.#given<Row>(flown, lookup);
    }
    return this.#lead(lookup, run, patienceMillis);
  }

  /**
   * Reads by itself, and others may wait for it.
   * @param patienceMillis how long they do, where not by what such reads have taken
   */
  #lead<Row extends QueryResultRow>(
    lookup: Lookup,
    run: RunBelow<Row>,
    patienceMillis = PATIENCE * lookup.text.fillMillis + this.#ground.fleet.settings.hangMillis,
  ): Promise<QueryResult<Row>> {
    const { call, asker } = lookup;
    const at = performance.now();
    const shared = this.#shared;
    // What is read anew in the background is there already.
    const looking = shared === undefined || asker !== call.scope ? undefined : shared.look(lookup, at);
    // What follows takes as long as the way to the store and back.
    const demand = this.#judge.demandOf(lookup.reading, at);
    const flight = this.#flights.begin(lookup.key, { demand, at }, patienceMillis);
    if (looking === undefined) return this.#run(lookup, run, flight);
    return looking.then((found) => {
      const entry = found === undefined ? undefined : shared?.entryIn(found, lookup, at);
      if (entry === undefined || !this.#judge.meets(entry, lookup)) return this.#run(lookup, run, flight);
      this.#landShared(entry, lookup, flight);
      return this.#judge.give<Row>(entry, lookup, 'shared');
    });
  }

  #landShared(entry: CacheEntry, { key }: Lookup, flight: Flight<Flown>): void {
    if (this.#flights.owns(key, flight)) this.#keeper.keep(key, entry);
    this.#flights.end(key, flight);
    flight.land({ answer: { from: 'shared', entry } });
  }

  async #run<Row extends QueryResultRow>(
    lookup: Lookup,
    run: RunBelow<Row>,
    flight: Flight<Flown>,
  ): Promise<QueryResult<Row>> {
    const { key } = lookup;
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

  /** Of those that do not find it in what processes share one reads, and keeps it for all. */
  async #flyBy<Row extends QueryResultRow>(
    shared: SharedRung,
    lookup: Lookup,
    run: RunBelow<Row>,
    flight: Flight<Flown>,
  ): Promise<Flown> {
    const { key, call } = lookup;
    const lease = await shared.lease(lookup);
    if (lease?.isGranted === false) {
      const isGood = (entry: CacheEntry): boolean => this.#judge.meets(entry, lookup);
      const entry = await shared.awaitFill(lookup, this.#patienceFor(lookup), isGood);
      if (entry !== undefined) {
        if (this.#flights.owns(key, flight)) this.#keeper.keep(key, entry);
        return { from: 'shared', entry };
      }
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
    text.fillMillis = endedAt - request.startedAt;
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
    if (entry !== undefined && sights?.readCount === readCount + 1)
      sights.recognise(lookup.families, entry, readCount + 1);
    const isKept = entry !== undefined && this.#flights.owns(key, flight) && this.#keeper.isWorthKeeping(entry, lookup);
    if (entry === undefined) this.#counts.unkeptCount++;
    else this.#counts.read(entry.costMillis);
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
   * @returns whether it does
   */
  refresh(lookup: Lookup, entry: CacheEntry): boolean {
    const { key } = lookup;
    if (entry.isRefreshing || this.#refreshing >= this.#refreshCount || this.#flights.get(key) !== undefined)
      return false;
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
    return true;
  }

  /** What is read at present is not kept. */
  disown(): void {
    this.#flights.disown();
  }
}
