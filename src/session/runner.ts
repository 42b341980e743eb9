/** What a session asks of the cluster that it belongs to: to run its statements, and to read and write tokens. */
import type { PoolClient, QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { Untold, WarningEvent } from '../events.js';
import type { Floor } from '../freshness/floor.js';
import type { SubjectOf } from '../freshness/read-notes.js';
import type { Monotonic } from '../freshness/sights.js';
import type { ReadOptions, TransactionOptions, WriteOptions } from '../options/calls.js';
import type { TokenReader } from './arrivals.js';
import type { Subject } from './subject.js';

/** What those that carry sessions from request to request use of the cluster. */
export interface CarrierTools {
  /** The cluster's name. */
  readonly name: string;
  /** The system identifier, as tokens have it; `undefined` while no server has told it. */
  clusterId(): string | undefined;
  /** Whether tokens are signed, so that no client can make one. */
  readonly isSigned: boolean;
  /** Whether there are tokens at all: not with `tracking: 'window'`, nor where servers tell no positions. */
  hasTokens(): boolean;
  readonly tokenLifetimeMillis: number;
  /** Whether a value has a token's form. */
  readonly isToken: (text: unknown) => text is string;
  /** Counts texts without a token's form. */
  readonly countMalformed: (count: number) => void;
  primaryOnlyToken(subject: Subject): string;
  warn(warning: () => Untold<WarningEvent>): void;
  /** As `warn`, once for each message. */
  warnOnce(warning: Untold<WarningEvent>): void;
  /** What is known of a statement. */
  readonly subjectOf: SubjectOf;
}

/** What runs a session's statements. */
export interface SessionRunner<Scope> {
  read<Row extends QueryResultRow>(
    scope: Scope,
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  write<Row extends QueryResultRow>(
    scope: Scope,
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: WriteOptions,
  ): Promise<QueryResult<Row>>;
  query<Row extends QueryResultRow>(
    scope: Scope,
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  transaction<T>(scope: Scope, fn: (client: PoolClient) => Promise<T> | T, options?: TransactionOptions): Promise<T>;
  token(scope: Scope): Promise<string>;
  /** Lays a token on a floor. @returns what became of it */
  claim(floor: Floor, token: unknown, subject: Subject): 'pinned' | 'claimed' | 'refused';
  readonly reader: TokenReader;
  readonly carrier: CarrierTools;
  /** Runs `fn` in the session's async context. */
  within<T>(scope: Scope, fn: () => T): T;
  /** Whether reads leave a trace. Without positions, no later read can be held to it. */
  tracesReads(): boolean;
  /** How answers from earlier are judged; `undefined` where none are kept. */
  readonly monotonic: Monotonic | undefined;
  /** Whether sessions note what their reads show where they say nothing of that: where there are caches. */
  readonly notesReads: boolean;
}
