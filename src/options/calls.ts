/** What each call accepts, documented by hand and checked at the door. */
import { z } from 'zod';
import type { FreshnessOptions, Target } from '../freshness/requirement.js';
import { isSignal } from '../signals.js';
import { check, freshness, label, millis, optionsOf, positiveMillis } from './check.js';

/** When to give up on a statement. */
export interface AbortOptions {
  /** For everything together: waiting, running, running again elsewhere; in milliseconds, above 0. Default: no bound. Throws `LADDER_TIMEOUT`. */
  timeoutMillis?: number | undefined;
  /** Gives up when it aborts, with its reason. A write that was sent by then has an unknown outcome. */
  signal?: AbortSignal | undefined;
}

/** Options of `cluster.write`. */
export type WriteOptions = AbortOptions;

/** Who goes first when reads queue for the primary: within one priority, who came first. */
export type Priority = 'high' | 'normal' | 'low';

/** Options of `cluster.read`. */
export interface ReadOptions extends FreshnessOptions, AbortOptions {
  /** Its place in the queue for the primary, when no replica can serve it; see `primaryReadBudget`. Default: the session's, else `normal`. */
  priority?: Priority | undefined;
  /** A token that the read must not fall below, beside its session's own floor. One that is malformed, foreign or forged counts as absent. */
  atLeast?: string | undefined;
  /**
   * Sends the reads of one key to the same replica, as long as that one is fresh enough, so that each replica keeps its share of the
   * data in memory. At most 1,024 characters; an empty one is none. Default: the session's.
   */
  partitionKey?: string | undefined;
  /** Runs the read there and nowhere else; still never staler than it asks for. Throws `LADDER_NO_CANDIDATE` when no such node is fresh in time. */
  target?: Target | undefined;
}

/** Options of `cluster.stream`; `timeoutMillis` counts until the last row has been taken. */
export interface StreamOptions extends ReadOptions {
  /** Rows that are fetched at a time, 1 to 100,000. Default 100. */
  batchRows?: number | undefined;
}

/** Options of `cluster.ready`. */
export interface ReadyOptions {
  /** How long it waits, in milliseconds, above 0. Default 10,000. */
  timeoutMillis?: number | undefined;
}

/** Options of `cluster.close`. */
export interface CloseOptions {
  /**
   * How long what is under way may take until it is cut off, in milliseconds, 0 and above: what runs is cancelled on its server, then all connections are closed, and
   * a `closed-under-way` warning tells. Default: no bound.
   */
  timeoutMillis?: number | undefined;
}

/** How {@link Cluster.pool} finds out where statements go. */
export interface PoolOptions {
  /**
   * `auto` (default): by what they are, as `query` does. `read`: the user vouches that they only read, as with `read`; transactions run on a replica, READ ONLY.
   * `write`: all of them on the primary; their sessions' reads elsewhere see them.
   */
  intent?: 'auto' | 'read' | 'write' | undefined;
}

/** Options of `cluster.connection`: `target` is `primary` unless it says otherwise. */
export type ConnectionOptions = ReadOptions;

/** Options of `cluster.transaction`. Those of a read hold for one that is `readOnly`, as a whole: what says where it runs is refused for any other. */
export interface TransactionOptions extends ReadOptions {
  /** Runs it on a replica that is fresh enough when it begins, or else on the primary; writes are refused. Default `false`: the primary. */
  readOnly?: boolean | undefined;
  /** Default: the server's. `serializable` is refused by replicas, so it always runs on the primary. */
  isolation?: Isolation | undefined;
  /**
   * How often `fn` is run again, from the beginning, after a serialization failure (40001), a deadlock (40P01), or when its session was ended before COMMIT was sent, as by
   * `idle_in_transaction_session_timeout` (25P03). A `readOnly` one that a replica cannot run (0A000, 55000) is run again on the primary. 0 to 100. Default 0: only you know
   * whether `fn` may run twice.
   */
  retries?: number | undefined;
}

export type Isolation = 'read committed' | 'repeatable read' | 'serializable';

/** Options of `cluster.session`. */
export interface SessionOptions extends FreshnessOptions {
  /** For all reads of the session that name no other, see `ReadOptions`; at most 1,024 characters, and an empty one is none. Nested sessions inherit it. */
  partitionKey?: string | undefined;
  /** For all reads of the session that name no other, see `ReadOptions`. Nested sessions inherit it. */
  priority?: Priority | undefined;
  /** A token from an earlier session, request or process: the session starts at that position. One that is malformed, foreign or forged counts as absent. */
  token?: string | undefined;
  /**
   * `process` (default): the session also starts from what this process has written, or from the session around it. `none`: from its token
   * alone, as a request handler wants that must not wait for other users' writes.
   */
  inherit?: 'process' | 'none' | undefined;
  /**
   * Whom the session's tokens are for: a token for somebody else is refused. At most 1,024 characters; needs `secrets`. A function is asked when a read or a
   * token first needs it; `undefined`, `null` or an empty text stand for nobody. Then tokens that were made for nobody hold for everybody.
   */
  subject?: string | (() => string | null | undefined) | undefined;
  /**
   * Whether tokens also carry what the session has *read*, so that the next one sees nothing older, on the primary either. A token then costs a question to the
   * primary and a comparison with the replica; so does the first read on the primary in a session that starts from one. Default `false`: writes alone.
   */
  monotonicAcrossRequests?: boolean | undefined;
}

const partitionKey = z.string().max(1_024).optional();
const priority = z.enum(['high', 'normal', 'low']).optional();
const subject = z
  .union([z.string().max(1_024), z.function()], 'expected a string of at most 1,024 characters, or a function')
  .optional();
/** What is no token is refused like a forged one, and fails nothing. */
const token = z.unknown().optional();

const abort = {
  timeoutMillis: positiveMillis.optional(),
  signal: z.custom<AbortSignal>(isSignal, 'expected an AbortSignal').optional(),
};

const writeSchema = optionsOf(abort);

const readSchema = optionsOf({
  ...abort,
  ...freshness,
  atLeast: token,
  partitionKey,
  priority,
  target: z
    .union(
      [z.enum(['primary', 'replica']), optionsOf({ node: label })],
      "expected 'primary', 'replica' or { node: name }",
    )
    .optional(),
});

const streamSchema = optionsOf({
  ...readSchema.shape,
  batchRows: z.int().min(1).max(100_000).optional(),
});

const connectionSchema = readSchema;

const PLACING = ['atLeast', 'partitionKey', 'priority', 'target'] as const;

const transactionSchema = optionsOf({
  ...readSchema.shape,
  readOnly: z.boolean().optional(),
  isolation: z.enum(['read committed', 'repeatable read', 'serializable']).optional(),
  retries: z.int().min(0).max(100).optional(),
}).check(({ value, issues }) => {
  const refuse = (path: string, message: string): void => {
    issues.push({ code: 'custom', path: [path], message, input: value });
  };
  for (const name of PLACING) {
    if (value.readOnly !== true && value[name] !== undefined)
      refuse(name, 'only for readOnly transactions: one that may write runs on the primary');
  }
  if (value.isolation === 'serializable' && value.target !== undefined && value.target !== 'primary')
    refuse('target', 'replicas refuse serializable transactions: leave it out, or use repeatable read');
});

const sessionSchema = optionsOf({
  ...freshness,
  token,
  partitionKey,
  priority,
  inherit: z.enum(['process', 'none']).optional(),
  subject,
  monotonicAcrossRequests: z.boolean().optional(),
});

const poolSchema = optionsOf({ intent: z.enum(['auto', 'read', 'write']).optional() });

const callSchemas = {
  read: readSchema,
  query: readSchema,
  write: writeSchema,
  transaction: transactionSchema,
  stream: streamSchema,
  connection: connectionSchema,
  session: sessionSchema,
  pool: poolSchema,
  close: optionsOf({ timeoutMillis: millis.optional() }),
  ready: optionsOf({ timeoutMillis: abort.timeoutMillis }),
};

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function checkOptions(call: keyof typeof callSchemas, options: object): void {
  check(callSchemas[call], options, call);
}
