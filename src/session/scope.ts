/**
 * What a session has written, seen and been handed, and what its reads ask for. It runs nothing by itself: its statements
 * go to the runner.
 */
import type { PoolClient, QueryConfig, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import { invalidOptions } from '../errors.js';
import { Floor } from '../freshness/floor.js';
import { type Freshness, ReadNotes } from '../freshness/read-notes.js';
import { ReadTrace } from '../freshness/read-trace.js';
import { type Requirement, requirementOf } from '../freshness/requirement.js';
import type { CacheReadOptions } from '../options/cache.js';
import type { Priority, ReadOptions, SessionOptions, TransactionOptions, WriteOptions } from '../options/calls.js';
import { logsOnly } from '../redaction.js';
import { keyOf } from '../routing/partition.js';
import { CarriedSession } from './carried-session.js';
import { ReceivedTokens } from './received-tokens.js';
import type { CarrierTools, SessionRunner } from './runner.js';
import { type Session, TOKEN_HEADER } from './session.js';
import { type Subject, subjectOf } from './subject.js';

export class SessionScope implements Session {
  readonly #floor: Floor;
  readonly #trace: ReadTrace | undefined;
  readonly #notes: ReadNotes | undefined;
  readonly #requirement: Requirement;
  readonly #subject: Subject;
  readonly #key: number | undefined;
  readonly #priority: Priority;
  readonly #runner: SessionRunner<SessionScope>;
  readonly #carriesReads: boolean;
  readonly #received: ReceivedTokens;
  readonly #carried: CarriedSession;
  readonly #outer: SessionScope | undefined;
  readonly #cache: boolean | CacheReadOptions | undefined;

  static {
    logsOnly(SessionScope.prototype, 'Session', ({ carried: { hasMoved, isPinned } }) => ({ hasMoved, isPinned }));
  }

  /** @param outer the scope around it, at last that of the process: its writes fold into that one; `undefined` for the process itself */
  constructor(
    runner: SessionRunner<SessionScope>,
    outer: SessionScope | undefined,
    options: SessionOptions,
    base: Requirement,
  ) {
    const start = options.inherit === 'none' ? undefined : outer;
    this.#runner = runner;
    this.#outer = outer;
    this.#floor = new Floor(outer?.floor, start?.floor);
    this.#requirement = requirementOf(options, base);
    this.#subject = options.subject ?? outer?.tokenSubject();
    this.#key = keyOf(options.partitionKey) ?? outer?.key;
    this.#priority = options.priority ?? outer?.priority ?? 'normal';
    this.#carriesReads = options.monotonicAcrossRequests ?? (outer === undefined ? false : outer.#carriesReads);
    const isTraced = outer !== undefined && runner.tracesReads();
    this.#trace = isTraced ? new ReadTrace(this.#floor, start?.trace, this.#carriesReads, runner.monotonic) : undefined;
    this.#cache = options.cache ?? outer?.cache;
    if (outer !== undefined) this.#notes = notesOf(options, outer.notes, start?.notes, runner.notesReads);
    if (typeof this.#cache === 'object' && this.#cache.scope !== undefined) this.#notes?.scoped();
    this.#received = new ReceivedTokens(this.#floor, this.#trace, this.#subject, runner, start?.received);
    if (options.token !== undefined) this.observe(options.token);
    this.#carried = new CarriedSession(this);
  }

  get floor(): Floor {
    return this.#floor;
  }

  /** Where it last read; `undefined` for the process, whose reads belong to no user. */
  get trace(): ReadTrace | undefined {
    return this.#trace;
  }

  /** What its reads have shown; `undefined` where it is not wanted. */
  get notes(): ReadNotes | undefined {
    return this.#notes;
  }

  get requirement(): Requirement {
    return this.#requirement;
  }

  /** Whom its tokens are for. No field, since it is a user's name. */
  tokenSubject(): Subject {
    return this.#subject;
  }

  /** The hash of its partition key. */
  get key(): number | undefined {
    return this.#key;
  }

  get priority(): Priority {
    return this.#priority;
  }

  /** What its reads ask of caches where they say nothing themselves. No field, since it may name a user. */
  get cache(): boolean | CacheReadOptions | undefined {
    return this.#cache;
  }

  /** The tokens that it was handed. */
  get received(): ReceivedTokens {
    return this.#received;
  }

  /** As it is carried from request to request. */
  get carried(): CarriedSession {
    return this.#carried;
  }

  get carrier(): CarrierTools {
    return this.#runner.carrier;
  }

  /** Who its reads count for where the primary's time is shared out; `undefined` for the process. No field, either. */
  caller(): object | string | undefined {
    if (this.#outer === undefined) return undefined;
    return this.#knownSubject() ?? this.#outer.caller() ?? this.#received.first() ?? this;
  }

  /** What its reads must see. @throws what the subject's function throws */
  readFloor(): Floor {
    this.#received.apply();
    return this.#floor;
  }

  /** What a token of this session must carry. */
  tokenFloor(): Floor {
    const written = this.readFloor().unpinned();
    const trace = this.#trace;
    if (trace?.isCarried !== true || trace.server === undefined) return written;
    const floor = new Floor(undefined, written);
    trace.raise(floor);
    return floor;
  }

  within<T>(fn: () => T): T {
    return this.#runner.within(this, fn);
  }

  read<Row extends QueryResultRow>(query: string | QueryConfig, values?: readonly unknown[], options?: ReadOptions) {
    return this.#runner.read<Row>(this, query, values, options);
  }

  write<Row extends QueryResultRow>(query: string | QueryConfig, values?: readonly unknown[], options?: WriteOptions) {
    return this.#runner.write<Row>(this, query, values, options);
  }

  query<Row extends QueryResultRow>(query: string | QueryConfig, values?: readonly unknown[], options?: ReadOptions) {
    return this.#runner.query<Row>(this, query, values, options);
  }

  transaction<T>(fn: (client: PoolClient) => Promise<T> | T, options?: TransactionOptions) {
    return this.#runner.transaction(this, fn, options);
  }

  token(): Promise<string> {
    return this.#runner.token(this);
  }

  async headers(): Promise<Record<string, string>> {
    return { [TOKEN_HEADER]: await this.token() };
  }

  observe(token: string): void {
    this.#received.observe(token);
  }

  freshness(): Freshness {
    if (this.#notes === undefined)
      throw invalidOptions(
        'freshness: expected the option freshness of the session, or cache of createCluster, to be set',
      );
    return this.#notes.freshness(performance.now(), this.carrier.subjectOf);
  }

  #knownSubject(): string | undefined {
    try {
      return subjectOf(this.#subject);
    } catch {
      // A token that needs the subject reports the error.
      return undefined;
    }
  }
}

/** What is read counts for the sessions around it, too: those want to know it whatever this one says. */
function notesOf(
  { freshness }: SessionOptions,
  outer: ReadNotes | undefined,
  start: ReadNotes | undefined,
  isUsual: boolean,
): ReadNotes | undefined {
  if (outer === undefined && !(freshness ?? isUsual)) return undefined;
  return new ReadNotes(freshness ?? outer?.isThorough === true, outer, start);
}
