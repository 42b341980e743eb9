/** Who is asking: what the session has written, seen and been handed, and what its reads ask for. It runs nothing by itself. */
import type { PoolClient, QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { WarningEvent } from '../events.js';
import { Floor } from '../freshness/floor.js';
import { ReadTrace } from '../freshness/read-trace.js';
import { type Requirement, requirementOf } from '../freshness/requirement.js';
import type { Priority, ReadOptions, SessionOptions, TransactionOptions, WriteOptions } from '../options/calls.js';
import { logsOnly } from '../redaction.js';
import { keyOf } from '../routing/partition.js';
import { Arrivals, type TokenReader } from './arrivals.js';
import { type Subject, subjectOf } from './subject.js';

/** A scope within which reads see the writes and reads that came before them. */
export interface Session {
  /** As `cluster.read`, for code that passes the session explicitly or has lost its async context. */
  read<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  /** As `cluster.write`. */
  write<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: WriteOptions,
  ): Promise<QueryResult<Row>>;
  /** As `cluster.query`. */
  query<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  /** As `cluster.transaction`. */
  transaction<T>(fn: (client: PoolClient) => Promise<T> | T, options?: TransactionOptions): Promise<T>;
  /**
   * The session's position as a string that is safe in headers, cookies and URLs: 52 characters, 95 with `secrets`. Hand it to whoever
   * must see the session's writes (and, with `monotonicAcrossRequests`, what it has read). It lives for `tokenLifetimeMillis`. Without
   * `secrets`, whoever can change it can ask for fresher or staler reads of his own, nothing else.
   * @throws LadderError `LADDER_POSITION_UNAVAILABLE` when the primary does not tell it, or does not show what was read yet, and with `tracking: 'window'`
   */
  token(): Promise<string>;
  /**
   * The session's token as headers of a request to another service: `pg-ladder-token`, which `pg-ladder/http` takes up there.
   * @throws as `token` does
   */
  headers(): Promise<Record<string, string>>;
  /** Raises the session to a token's position. One that is refused counts as absent, and in `stats().tokens`. */
  observe(token: string): void;
}

/** What carries sessions from request to request needs of them beside what everybody has. */
export interface CarriedSession extends Session {
  /** Whether there is something to carry that its bearer does not have: it has written, was told of writes elsewhere, or has read where reads are carried. */
  readonly hasMoved: boolean;
  /** When its last read ended that its tokens carry, by our monotonic clock; −∞ where they carry none. */
  readonly readAt: number;
  /** Whether it was told to read on the primary only. */
  readonly isPinned: boolean;
  /** Its writes that are not over, asked for since this was asked for the first time. */
  readonly underWayCount: number;
  /** Calls back once, when all of them are over. */
  whenWritesAreOver(listener: () => void): void;
  /** The token that told it so. No field: whoever logs a session with its fields must not log tokens. */
  pinnedBy(): string | undefined;
  /**
   * Like `observe`, for tokens that the client holds already: they are looked at when a read or a token first needs them. At most once in a session.
   * @param onForeign called when one is refused while the subject is nobody
   */
  startFrom(tokens: readonly string[], onForeign?: () => void): void;
  /** Looks at them now. @throws what the subject's function throws */
  settle(): void;
  /** Whether it started from that token, and believed it. */
  hasTaken(token: string): boolean;
  /** Calls back at each write, and each word of one, from now on. */
  whenMoved(listener: () => void): void;
  /** Runs `fn` within it, for whatever has lost its async context. */
  within<T>(fn: () => T): T;
  /** Keeps its own reads on the primary, which is nothing to be carried: nobody knows what it must see. */
  pin(): void;
  /** A token that keeps its bearer's reads on the primary until it expires. */
  primaryOnlyToken(): string;
  readonly carrier: CarrierTools;
}

export interface CarrierTools {
  /** Whether nobody else can make tokens. */
  readonly isSigned: boolean;
  /** Whether there are any: not with `tracking: 'window'`, nor of servers that tell no positions. */
  hasTokens(): boolean;
  readonly tokenLifetimeMillis: number;
  /** Whether that has a token's form. */
  readonly isToken: (text: unknown) => text is string;
  /** Counts texts that have not. */
  readonly countMalformed: (count: number) => void;
  primaryOnlyToken(subject: Subject): string;
  warn(warning: () => WarningEvent): void;
  within<T>(scope: SessionScope, fn: () => T): T;
}

/** By which services tell each other what must be seen. */
export const TOKEN_HEADER = 'pg-ladder-token';

/** What runs a session's statements. */
export interface SessionRunner {
  read<Row extends QueryResultRow>(
    scope: SessionScope,
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  write<Row extends QueryResultRow>(
    scope: SessionScope,
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: WriteOptions,
  ): Promise<QueryResult<Row>>;
  query<Row extends QueryResultRow>(
    scope: SessionScope,
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  transaction<T>(
    scope: SessionScope,
    fn: (client: PoolClient) => Promise<T> | T,
    options?: TransactionOptions,
  ): Promise<T>;
  token(scope: SessionScope): Promise<string>;
  /** @returns what became of it */
  claim(floor: Floor, token: unknown, subject: Subject): 'pinned' | 'claimed' | 'refused';
  readonly reader: TokenReader;
  readonly carrier: CarrierTools;
  /** Whether reads leave a trace: only where positions are tracked can a later one be held to it. */
  tracesReads(): boolean;
}

export class SessionScope implements CarriedSession {
  readonly #floor: Floor;
  readonly #trace: ReadTrace | undefined;
  readonly #requirement: Requirement;
  readonly #subject: Subject;
  readonly #key: number | undefined;
  readonly #priority: Priority;
  readonly #runner: SessionRunner;
  readonly #carriesReads: boolean;
  #hasMoved = false;
  #pinnedBy: string | undefined;
  #arrivals: Arrivals | undefined;
  /** Of those that it believes, how many its floor has. */
  #takenCount = 0;
  /** What it began with, from outside. */
  #token: string | undefined;
  readonly #outer: SessionScope | undefined;

  static {
    logsOnly(SessionScope.prototype, 'Session', ({ hasMoved, isPinned }) => ({ hasMoved, isPinned }));
  }

  /** @param outer the scope around it, the process at last: its writes fold into that one; `undefined` for the process itself */
  constructor(runner: SessionRunner, outer: SessionScope | undefined, options: SessionOptions, base: Requirement) {
    const start = options.inherit === 'none' ? undefined : outer;
    this.#runner = runner;
    this.#floor = new Floor(outer?.floor, start?.floor);
    this.#arrivals = start?.startedFrom();
    this.#takenCount = start?.takenCount() ?? 0;
    const isTraced = outer !== undefined && runner.tracesReads();
    this.#requirement = requirementOf(options, base);
    this.#subject = options.subject ?? outer?.tokenSubject();
    this.#key = keyOf(options.partitionKey) ?? outer?.key;
    this.#priority = options.priority ?? outer?.priority ?? 'normal';
    this.#outer = outer;
    this.#carriesReads = options.monotonicAcrossRequests ?? outer?.carriesReads ?? false;
    this.#trace = isTraced ? new ReadTrace(this.#floor, start?.trace, this.#carriesReads) : undefined;
    if (options.token !== undefined) this.observe(options.token);
    this.whenMoved(() => undefined);
  }

  get floor(): Floor {
    return this.#floor;
  }

  /** Where it last read; `undefined` for the process, whose reads belong to nobody in particular. */
  get trace(): ReadTrace | undefined {
    return this.#trace;
  }

  get requirement(): Requirement {
    return this.#requirement;
  }

  /** Whom its tokens are for. No field, since it is somebody's name. */
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

  /** By whom its reads are counted where the primary's time is shared out; `undefined` for the process. No field, either. */
  caller(): object | string | undefined {
    if (this.#outer === undefined) return undefined;
    return this.#subjectNow() ?? this.#outer.caller() ?? this.#token ?? this.#arrivals?.accepted[0]?.token ?? this;
  }

  #subjectNow(): string | undefined {
    try {
      return subjectOf(this.#subject);
    } catch {
      // Whoever needs it for a token says so.
      return undefined;
    }
  }

  get hasMoved(): boolean {
    return this.#hasMoved || (this.#carriesReads && this.trace?.server !== undefined);
  }

  get readAt(): number {
    return this.#carriesReads && this.trace !== undefined ? this.trace.endedAt : Number.NEGATIVE_INFINITY;
  }

  /** What its reads must see. @throws what the subject's function throws */
  readFloor(): Floor {
    if (this.#arrivals !== undefined) this.#takeUp(this.#arrivals);
    return this.#floor;
  }

  /** What it was opened with. No field, since tokens are in it. */
  startedFrom(): Arrivals | undefined {
    return this.#arrivals;
  }

  takenCount(): number {
    return this.#takenCount;
  }

  settle(): void {
    this.readFloor();
  }

  /** As far as it has looked: whoever logs it asks nobody. */
  get isPinned(): boolean {
    return this.#floor.isPinned;
  }

  get underWayCount(): number {
    return this.floor.underWayCount;
  }

  whenWritesAreOver(listener: () => void): void {
    this.floor.whenWritesAreOver(listener);
  }

  pinnedBy(): string | undefined {
    return this.#pinnedBy;
  }

  get carrier(): CarrierTools {
    return this.#runner.carrier;
  }

  whenMoved(listener: () => void): void {
    this.floor.whenMoved(() => {
      this.#hasMoved = true;
      listener();
    });
  }

  within<T>(fn: () => T): T {
    return this.#runner.carrier.within(this, fn);
  }

  pin(): void {
    const hasMoved = this.#hasMoved;
    this.floor.pin();
    this.#hasMoved = hasMoved;
  }

  primaryOnlyToken(): string {
    return this.#runner.carrier.primaryOnlyToken(this.#subject);
  }

  get carriesReads(): boolean {
    return this.#carriesReads;
  }

  /** What a token of this session must carry. */
  tokenFloor(): Floor {
    const written = this.readFloor().unpinned();
    if (!this.#carriesReads || this.trace?.server === undefined) return written;
    const floor = new Floor(undefined, written);
    floor.wrote(this.trace.endedAt, 0);
    return floor;
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
    this.#token ??= token;
    const found = this.#runner.claim(this.#floor, token, this.#subject);
    if (found === 'pinned') this.#pinnedBy = token;
    if (found !== 'refused') this.#trace?.tookToken();
  }

  startFrom(tokens: readonly string[], onForeign?: () => void): void {
    if (tokens.length === 0) return;
    this.#arrivals = new Arrivals(tokens, this.#runner.reader, this.#subject, onForeign);
    this.#takenCount = 0;
  }

  hasTaken(token: string): boolean {
    return this.#arrivals?.accepted.some((arrival) => arrival.token === token) === true;
  }

  #takeUp(arrivals: Arrivals): void {
    arrivals.settle();
    for (const { token, claim } of arrivals.accepted.slice(this.#takenCount)) {
      this.#floor.startFrom(claim);
      this.#trace?.tookToken();
      if (claim === undefined) this.#pinnedBy = token;
    }
    this.#takenCount = arrivals.accepted.length;
  }
}
