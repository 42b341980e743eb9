/** The options of each call: documented for users, and checked before anything runs. */
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import type { FreshnessOptions, Target } from '../freshness/requirement.js';
import { isSignal } from '../signals.js';
import { type CacheReadOptions, cacheOfRead, isSurelyCacheOptions } from './cache.js';
import { check, freshness, label, millis, optionsOf, positiveMillis } from './check.js';

/** When to give up on a statement. */
export interface AbortOptions {
  /**
   * How long the call may take in all: waiting, running, running again elsewhere; in milliseconds,
   * above 0. Default: no bound. Throws `LADDER_TIMEOUT`.
   */
  timeoutMillis?: number | undefined;
  /**
   * Gives up when the signal aborts, with the signal's reason. A write that was sent by then has an
   * unknown outcome.
   */
  signal?: AbortSignal | undefined;
}

/** Options of `cluster.write`. */
export type WriteOptions = AbortOptions;

/**
 * Which reads go first when they queue for the primary. Within one priority, the earlier ones do.
 */
export type Priority = 'high' | 'normal' | 'low';

/** Options of `cluster.read` and `cluster.query`. */
export interface ReadOptions extends PlacedReadOptions {
  /**
   * Whether a kept answer will do, and whether the answer is kept; see `cache` of the cluster, which
   * it needs. Default: the session's, else by the cluster's rules. Never with `target` or `strong`.
   */
  cache?: boolean | CacheReadOptions | undefined;
}

/** Options of whatever reads on a server. */
export interface PlacedReadOptions extends FreshnessOptions, AbortOptions {
  /**
   * The read's place in the queue for the primary when no replica can serve it; see
   * `primaryReadBudget`. Default: the session's, else `normal`.
   */
  priority?: Priority | undefined;
  /**
   * A token: the read sees at least its position, and the session's own floor. A malformed, foreign
   * or forged token counts as absent.
   */
  atLeast?: string | undefined;
  /**
   * Sends the reads of one key to the same replica while it is fresh enough, so that each replica
   * keeps its share of the data in memory. At most 1,024 characters; an empty key is none. Default:
   * the session's.
   */
  partitionKey?: string | undefined;
  /**
   * Runs the read there and nowhere else; it is still as fresh as it asks for. Throws
   * `LADDER_NO_CANDIDATE` when no such node is fresh in time.
   */
  target?: Target | undefined;
}

/** Options of `cluster.stream`; `timeoutMillis` counts until the last row has been taken. */
export interface StreamOptions extends PlacedReadOptions {
  /** How many rows are fetched at a time, 1 to 100,000. Default 100. */
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
   * How long statements under way may still take, in milliseconds, 0 and above. Default: no bound.
   * Then they are cancelled on their servers, all connections are closed, and a `closed-under-way`
   * warning tells of it.
   */
  timeoutMillis?: number | undefined;
}

/** How {@link Cluster.pool} finds out where statements go. */
export interface PoolOptions {
  /**
   * `auto` (default): by what each statement is, as with `query`. `read`: you promise that all of
   * them only read, as with `read`; transactions run on a replica, READ ONLY. `write`: all run on
   * the primary, and their sessions' reads elsewhere see them.
   */
  intent?: 'auto' | 'read' | 'write' | undefined;
}

/** Options of `cluster.connection`. The default of `target` is `primary` here. */
export type ConnectionOptions = ReadOptions;

/**
 * Options of `cluster.transaction`. Those of a read hold for a `readOnly` transaction as a whole.
 * Any other transaction refuses the ones that say where it runs.
 */
export interface TransactionOptions extends PlacedReadOptions {
  /**
   * Runs it on a replica that is fresh enough when it begins, else on the primary; writes are
   * refused. Default `false`: on the primary.
   */
  readOnly?: boolean | undefined;
  /** Default: the server's. Replicas refuse `serializable`, so it always runs on the primary. */
  isolation?: Isolation | undefined;
  /**
   * How often `fn` runs again from the beginning, 0 to 100. Default 0: only you know whether `fn`
   * may run twice. It does so after a serialization failure (40001), a deadlock (40P01), and when
   * its session ended before COMMIT was sent, as by `idle_in_transaction_session_timeout` (25P03).
   * A `readOnly` one that a replica cannot run (0A000, 55000) runs again on the primary.
   */
  retries?: number | undefined;
}

export type Isolation = 'read committed' | 'repeatable read' | 'serializable';

/** Options of `cluster.session`. */
export interface SessionOptions extends FreshnessOptions {
  /**
   * For all reads of the session that say nothing of caches themselves, see `ReadOptions`. Nested
   * sessions inherit it.
   */
  cache?: boolean | CacheReadOptions | undefined;
  /**
   * For all reads of the session without a key of their own, see `ReadOptions`. At most 1,024
   * characters; an empty key is none. Nested sessions inherit it.
   */
  partitionKey?: string | undefined;
  /**
   * For all reads of the session without a priority of their own, see `ReadOptions`. Nested
   * sessions inherit it.
   */
  priority?: Priority | undefined;
  /**
   * A token from an earlier session, request or process: the session starts at its position. A
   * malformed, foreign or forged token counts as absent.
   */
  token?: string | undefined;
  /**
   * `process` (default): the session also starts from what this process has written, or from the
   * session around it. `none`: from its token alone, so that a request does not wait for other
   * users' writes.
   */
  inherit?: 'process' | 'none' | undefined;
  /**
   * Whom the session's tokens are for: a token of another subject is refused. At most 1,024
   * characters; needs `secrets`. A function is called when a read or a token first needs it.
   * `undefined`, `null` and an empty text stand for nobody: then only tokens that were made for
   * nobody are accepted.
   */
  subject?: string | (() => string | null | undefined) | undefined;
  /**
   * Whether tokens also carry what the session has *read*, so that the next session sees nothing
   * older, not even on the primary. Default `false`: writes alone. Each token then costs one
   * question to the primary and a comparison with the replica; so does the first read on the
   * primary in a session that starts from a token.
   */
  monotonicAcrossRequests?: boolean | undefined;
  /**
   * Whether the session notes what its reads show, for `freshness()` and `cacheControl`. With
   * `true`, the first read of each text also waits until it is known what the text depends on.
   * Default: whether the cluster has a `cache`; then nothing waits, and only reads with `cache` are
   * known from the start. A session within one that notes its reads notes its own, too.
   */
  freshness?: boolean | undefined;
}

const partitionKey = z.string().max(1_024).optional();
const priority = z.enum(['high', 'normal', 'low']).optional();
const subject = z
  .union([z.string().max(1_024), z.function()], 'expected a string of at most 1,024 characters, or a function')
  .optional();
/** Anything but a token is refused like a forged one; it is no error. */
const token = z.unknown().optional();

const abort = {
  timeoutMillis: positiveMillis.optional(),
  signal: z.custom<AbortSignal>(isSignal, 'expected an AbortSignal').optional(),
};

const writeSchema = optionsOf(abort);

const placedSchema = optionsOf({
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

const readSchema = optionsOf({ ...placedSchema.shape, cache: cacheOfRead });

const streamSchema = optionsOf({
  ...placedSchema.shape,
  batchRows: z.int().min(1).max(100_000).optional(),
});

const connectionSchema = placedSchema;

const PLACING = ['atLeast', 'partitionKey', 'priority', 'target'] as const;

const transactionSchema = optionsOf({
  ...placedSchema.shape,
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
  cache: cacheOfRead,
  token,
  partitionKey,
  priority,
  inherit: z.enum(['process', 'none']).optional(),
  subject,
  monotonicAcrossRequests: z.boolean().optional(),
  freshness: z.boolean().optional(),
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
  if ((call === 'read' || call === 'query') && asksForCachesOnly(options)) return;
  check(callSchemas[call], options, call);
}

/** Such options come anew with each read, which may take less time than to check them: they are surely right. */
function asksForCachesOnly(options: object): boolean {
  for (const name in options) if (name !== 'cache') return false;
  const { cache } = options as ReadOptions;
  return typeof cache === 'boolean' || isSurelyCacheOptions(cache);
}

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function checkSession(options: SessionOptions, isSigned: boolean): void {
  checkOptions('session', options);
  if (options.subject === undefined || isSigned) return;
  throw invalidOptions(
    'session: subject: expected secrets to be set on the cluster: a token that is not signed binds nobody',
  );
}
