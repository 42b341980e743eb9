/** What every contender can do, so that the works need not know whom they measure. How it does it, and where, is its own affair. */
import type { WorkName } from '../works.js';

export interface Access {
  /** The value of one row. */
  point(id: number): Promise<number | undefined>;
  /** The same on a client that is taken out of a pool for it. Default: it hands out none. */
  readonly checkout?: (id: number) => Promise<number | undefined>;
  /** How many of the rows from `first` on came, of `count`. */
  range(first: number, count: number): Promise<number>;
  update(id: number, value: number): Promise<unknown>;
  /** Reads a row and updates it, in one transaction. */
  transaction(id: number, value: number): Promise<unknown>;
  /** Puts around `fn` what one caller keeps for long, such as its session. Default: nothing. */
  as?<T>(caller: number, fn: () => Promise<T>): Promise<T>;
  close(): Promise<unknown>;
}

/** What it does, without how its callers and its connections are kept. */
export type Statements = Omit<Access, 'as' | 'close'>;

/** The connection strings. A contender that knows of one server only reads from the first replica. */
export interface Servers {
  readonly primary: string;
  readonly replicas: readonly string[];
}

/** Who is measured. */
export type Spec = LadderSpec | PoolSpec | PostgresJsSpec | BuilderSpec | PgbenchSpec;

export interface LadderSpec {
  readonly driver: 'pg-ladder';
  readonly name: string;
  /** Both as the library has them by itself, unless they are given: to insist on them is to say that no pooler stands before the servers. */
  readonly lane?: boolean;
  readonly namedStatements?: boolean;
  /** Opens a session for each write and asks for its token, as a request handler does. */
  readonly tokens?: boolean;
  /**
   * Each operation is a session: `none` starts from its caller's token, as a request handler does, `process` is the
   * default, and the reads of `eventual` ask for nothing.
   */
  readonly sessions?: 'none' | 'process' | 'eventual';
  /** Another build of the library: its `index.js`. */
  readonly build?: string;
  /** Whether it has caches; its reads ask for none. `observe`: it says what caching them would save. */
  readonly caches?: boolean | 'observe';
  /** Does everything through the pool of `cluster.pool()`, as a bare `pg.Pool` is used. */
  readonly pooled?: boolean;
}

export interface PoolSpec {
  readonly driver: 'pg.Pool';
  readonly name: string;
  readonly named?: boolean;
  /** Reads from the replica even where reads have to see writes: for proxies, which promise to see to that. */
  readonly trustsReplica?: boolean;
}

export interface PostgresJsSpec {
  readonly driver: 'postgres.js';
  readonly name: string;
  readonly max: number;
  readonly prepare: boolean;
}

export interface BuilderSpec {
  readonly driver: 'Drizzle' | 'Kysely';
  readonly name: string;
}

/** A process of its own, not one of Node's. */
export interface PgbenchSpec {
  readonly driver: 'pgbench';
  readonly name: string;
  /** One, as Node has for JavaScript, or more: what the server can do rather than what one thread can ask of it. */
  readonly threads: number;
}

export type Open<S extends Spec> = (servers: Servers, spec: S, work: WorkName) => Promise<Access>;

/** For everybody with a pool whose size is not what is measured: as many connections as pg itself takes, kept while the others have their rounds. */
export const POOL = { max: 10, idleTimeoutMillis: 0 } as const;
