/**
 * The door: what `createCluster` and each call accept, documented by hand, checked once. Behind it are only frozen
 * settings with defaults; nothing else in the library reads an option.
 */
import { availableParallelism } from 'node:os';
import pg from 'pg';
import { z } from 'zod';
import { invalidOptions } from './errors.js';
import type { Consistency, FreshnessOptions, Target } from './freshness/requirement.js';

/** A server: a connection string, pg's own pool options, or a pool that stays yours. */
export type NodeOptions = string | (pg.PoolConfig & NodeLabels) | ({ pool: pg.Pool } & NodeLabels);

/** What the library adds to pg's options for a server. */
export interface NodeLabels {
  /** How the node is called in events, stats and `target`. Default: `primary`, and `r1`, `r2`, … for the replicas. */
  name?: string;
  /** A replica's share of the reads beside the others', above 0. Default 1. */
  weight?: number;
  /** Whether short reads share connections of this node's own; see {@link ClusterBehaviour.lane}. Default: the cluster's. */
  lane?: boolean;
}

/** The shared connections of one node; see {@link ClusterBehaviour.lane}. */
export interface LaneOptions {
  /** How many a node has, 1 to 64. Default 1, from four cores on 2: one keeps a core of the server busy, and each more halves what goes in one piece. */
  connections?: number | undefined;
  /** Statements under way on one connection, 1 to 10,000; what comes beyond takes the pool. Default 128. */
  maxInFlight?: number | undefined;
}

/** The servers with a first guess at who is who; what they say of themselves decides. */
export interface LabelledNodes {
  /** The server that takes writes. */
  primary: NodeOptions;
  /** Its streaming replicas; none is allowed, and sends everything to the primary. */
  replicas?: readonly NodeOptions[];
  nodes?: undefined;
}

/** The servers without a guess: which one is the primary is found out by asking them. */
export interface UnlabelledNodes {
  /** At least one. Named `n1`, `n2`, … unless they have names. */
  nodes: readonly NodeOptions[];
  primary?: undefined;
  replicas?: undefined;
}

export type ClusterOptions = (LabelledNodes | UnlabelledNodes) & ClusterBehaviour;

/** What holds for the whole cluster. */
export interface ClusterBehaviour extends FreshnessOptions {
  /**
   * How long a read waits for a replica to catch up before the primary answers it, in milliseconds, 0 and above. Default 50:
   * replay usually lags by a few milliseconds, and a reader does not notice 50.
   */
  waitMillis?: number;
  /**
   * How old a replica may be for reads that set no `maxStalenessMillis`, in milliseconds, above 0. Default 10,000. While the
   * primary cannot be reached it is not applied: nothing can be proved then, and a replica is the only rung left.
   */
  maxLagMillis?: number;
  /**
   * How many reads that no replica can serve may run on the primary at the same time, from this process, at least 1; the others queue. So a lag
   * spike, or the loss of all replicas, is no stampede. Default: half of the primary pool's `max`, at least 8. Reads with `target: 'primary'`, those before
   * the first replica has answered, and clusters without replicas are not limited.
   */
  primaryReadBudget?: number;
  /**
   * How long a statement that sets no `timeoutMillis` waits for the primary, in milliseconds, 0 and above: a read for its turn under `primaryReadBudget`, and
   * every statement for a new primary when the one before is gone. Default 10,000.
   */
  primaryWaitMillis?: number;
  /**
   * What to do when two servers take writes. `highestTimeline` (default): the one on the later timeline is the primary; on the same timeline
   * writes are refused with `LADDER_TWO_PRIMARIES` until one of them is gone. `refuse`: they are refused in either case.
   */
  onTwoPrimaries?: 'highestTimeline' | 'refuse';
  /**
   * VOLATILE functions that only read, for `query`: `schema.name`, or `schema.name(types)` for one overload. What is wrong here costs a round trip: a replica
   * refuses it, and the primary runs it. Default: none.
   */
  readOnlyFunctions?: readonly string[];
  /** How old the catalogue may be that `query` goes by, in milliseconds, at least 1,000. Default 60,000. DDL that passes through `query` and `write` renews it at once. */
  catalogRefreshMillis?: number;
  /** What `query` does with a comment hint that makes no sense. Default: `throw` unless NODE_ENV is `production`. */
  onInvalidHint?: 'throw' | 'ignore';
  /**
   * Short reads share few connections with many statements under way on each, next to the pools. Only what is proven to read and to leave no state behind,
   * and has been fast before, goes there. Default: on, but for nodes behind a pooler, and for pools with set-up of their own that were handed in (a `connect`
   * listener, `onConnect`, `verify`). `true`: for these, too. `false`: for none. Needs pg 8.23.
   */
  lane?: boolean | LaneOptions | undefined;
  /**
   * Whether texts that come again are prepared once on each connection, which saves the server parsing and planning them. Default: on, but for
   * connections through a pooler, which may hand each statement to another server connection. `true`: on these, too (PgBouncer from 1.21 on can do it).
   */
  namedStatements?: boolean | undefined;
  /** After how many milliseconds without an answer a node's position counts as unknown, above 0. Default 500. */
  hangMillis?: number;
  /** How often each node is asked for its position while the cluster is used, in milliseconds, above 0. Default 250. */
  probeMillis?: number;
  /** How often each node is asked while the cluster is idle, in milliseconds, above 0. Default 1,000. */
  idleProbeMillis?: number;
  /**
   * `lsn` (default): positions in the write-ahead log. `window`: none are asked for; after a write, its session reads from the
   * primary for `stickinessMillis`. For servers that tell no LSNs. It promises nothing about replicas that lag longer than the
   * window, and a session has no token.
   */
  tracking?: 'lsn' | 'window';
  /** The window of `tracking: 'window'`, in milliseconds, above 0. Default 5,000. */
  stickinessMillis?: number;
  /**
   * The key ring of tokens, each at least 16 characters: the first signs (HMAC-SHA-256), all are accepted, so that a new one can be put
   * in front while old tokens live. Default: none, and tokens are not signed.
   */
  secrets?: readonly string[];
  /** How long a token is believed, in milliseconds, at least 10,000. Default 60,000. A replica staler than that serves no session's reads. */
  tokenLifetimeMillis?: number;
  /**
   * `timer` (default): positions are kept up to date in the background. `onDemand`: only statements make the library ask, for
   * processes that are frozen between requests.
   */
  monitor?: 'timer' | 'onDemand';
  /**
   * Runs once on every connection that serves statements, before its first one: `SET ROLE`, search_path, tenant settings. When it throws,
   * the connection is not used. The library's own connection, which never carries a statement of yours, does not get it.
   */
  onConnect?: OnConnect;
  /**
   * Promise that no writer uses `synchronous_commit = off`: positions are then taken from the flush LSN, which replicas reach
   * without the primary being nudged. Wrong when the promise is broken: such a write may be missed. Default `false`.
   */
  assumeSynchronousCommit?: boolean;
}

/** When to give up on a statement. */
export interface AbortOptions {
  /** For everything together: waiting, running, running again elsewhere; in milliseconds, above 0. Default: no bound. Throws `LADDER_TIMEOUT`. */
  timeoutMillis?: number | undefined;
  /** Gives up when it aborts, with its reason. A write that was sent by then has an unknown outcome. */
  signal?: AbortSignal | undefined;
}

/** @param node the node's name and its role at that time */
export type OnConnect = (
  client: pg.PoolClient,
  node: { name: string; role: 'primary' | 'replica' },
) => void | Promise<void>;

/** Options of `cluster.write`. */
export type WriteOptions = AbortOptions;

/** Who goes first when reads queue for the primary: within one priority, who came first. */
export type Priority = 'high' | 'normal' | 'low';

/** Options of `cluster.read`. */
export interface ReadOptions extends FreshnessOptions, AbortOptions {
  /** Its place in the queue for the primary, when no replica can serve it; see `primaryReadBudget`. Default: the session's, else `normal`. */
  priority?: Priority | undefined;
  /** A token that the read must not fall below, beside its session's own floor. One that is malformed, foreign or forged counts as absent. */
  atLeast?: string;
  /**
   * Sends the reads of one key to the same replica, as long as that one is fresh enough, so that each replica keeps its share of the
   * data in memory. At most 1,024 characters.
   */
  partitionKey?: string | undefined;
  /** Runs the read there and nowhere else; still never staler than it asks for. Throws `LADDER_NO_CANDIDATE` when no such node is fresh in time. */
  target?: Target;
}

/** Options of `cluster.stream`; `timeoutMillis` counts until the last row has been taken. */
export interface StreamOptions extends ReadOptions {
  /** Rows that are fetched at a time, 1 to 100,000. Default 100. */
  batchRows?: number | undefined;
}

/** How {@link Cluster.pool} finds out where statements go. */
export interface PoolOptions {
  /**
   * `auto` (default): by what they are, as `query` does. `read`: the user vouches that they only read, as with `read`; transactions run on a replica, READ ONLY.
   * `write`: all of them on the primary; their sessions' reads elsewhere see them.
   */
  intent?: 'auto' | 'read' | 'write';
}

/** Options of `cluster.connection`: `target` is `primary` unless it says otherwise. */
export type ConnectionOptions = ReadOptions;

/** Options of `cluster.transaction`. */
export interface TransactionOptions extends FreshnessOptions, AbortOptions {
  /** Runs it on a replica that is fresh enough when it begins, or else on the primary; writes are refused. Default `false`: the primary. */
  readOnly?: boolean | undefined;
  /** Default: the server's. `serializable` is refused by replicas, so it always runs on the primary. */
  isolation?: Isolation | undefined;
  /**
   * How often `fn` is run again, from the beginning, after a serialization failure (40001) or a deadlock (40P01), 0 to 100. Default 0:
   * only you know whether `fn` may run twice.
   */
  retries?: number | undefined;
}

export type Isolation = 'read committed' | 'repeatable read' | 'serializable';

/** Options of `cluster.session`. */
export interface SessionOptions extends FreshnessOptions {
  /** For all reads of the session that name no other, see `ReadOptions`. Nested sessions inherit it. */
  partitionKey?: string | undefined;
  /** For all reads of the session that name no other, see `ReadOptions`. Nested sessions inherit it. */
  priority?: Priority | undefined;
  /** A token from an earlier session, request or process: the session starts at that position. One that is malformed, foreign or forged counts as absent. */
  token?: string | undefined;
  /**
   * `process` (default): the session also starts from what this process has written, or from the session around it. `none`: from its token
   * alone, as a request handler wants that must not wait for other users' writes.
   */
  inherit?: 'process' | 'none';
  /** Whom the session's tokens are for: a token for somebody else is refused. At most 1,024 characters; needs `secrets`. */
  subject?: string | undefined;
  /** Whether tokens also carry what the session has *read*, so that the next one sees nothing older. Default `false`: writes alone. */
  monotonicAcrossRequests?: boolean;
}

export interface NodeSettings {
  readonly name: string;
  /** The first guess. */
  readonly role: 'primary' | 'replica';
  readonly weight: number;
  readonly pool: pg.Pool;
  /** Whether the library made the pool and so ends it. */
  readonly ownsPool: boolean;
  /** `undefined`: unless something speaks against it. */
  readonly lane: boolean | undefined;
}

export interface LaneSettings {
  readonly connections: number;
  readonly maxInFlight: number;
}

export interface Settings {
  /** One of them guessed to be the primary. */
  readonly nodes: readonly NodeSettings[];
  readonly primaryReadBudget: number | undefined;
  readonly readOnlyFunctions: readonly string[];
  readonly catalogRefreshMillis: number;
  readonly onInvalidHint: 'throw' | 'ignore' | undefined;
  readonly primaryWaitMillis: number;
  readonly onTwoPrimaries: 'highestTimeline' | 'refuse';
  readonly consistency: Consistency;
  readonly maxStalenessMillis: number | undefined;
  readonly waitMillis: number;
  readonly maxLagMillis: number;
  readonly lane: LaneSettings;
  /** `undefined`: unless a pooler stands between. */
  readonly namedStatements: boolean | undefined;
  readonly hangMillis: number;
  readonly probeMillis: number;
  readonly idleProbeMillis: number;
  readonly assumeSynchronousCommit: boolean;
  readonly tracking: 'lsn' | 'window';
  readonly stickinessMillis: number;
  readonly secrets: readonly string[];
  readonly tokenLifetimeMillis: number;
  readonly monitor: 'timer' | 'onDemand';
  readonly onConnect: OnConnect | undefined;
}

// A host's name may serve as a node's.
const nodeName = z.string().min(1).max(255);
const millis = z
  .number()
  .min(0)
  .max(2 ** 31 - 1);
const positiveMillis = millis.gt(0);
// pg's own options are its own: they pass through untouched, and pg judges them.
const node = z.union([
  z.string().min(1),
  z.looseObject({
    name: nodeName.optional(),
    weight: z.number().positive().finite().optional(),
    lane: z.boolean().optional(),
  }),
]);
const freshness = {
  consistency: z.enum(['session', 'eventual', 'strong']).optional(),
  maxStalenessMillis: millis.optional(),
};
const partitionKey = z.string().max(1_024).optional();
const priority = z.enum(['high', 'normal', 'low']).optional();
const subject = z.string().max(1_024).optional();

const lane = z.strictObject({
  connections: z.int().min(1).max(64).optional(),
  maxInFlight: z.int().min(1).max(10_000).optional(),
});

const clusterSchema = z.strictObject({
  primary: node.optional(),
  replicas: z.array(node).optional(),
  nodes: z.array(node).min(1).optional(),
  primaryReadBudget: z.int().min(1).optional(),
  primaryWaitMillis: millis.default(10_000),
  readOnlyFunctions: z
    .array(z.string().regex(/^[^.()]+\.[^.()]+(\([^()]*\))?$/, 'expected schema.name or schema.name(types)'))
    .default([]),
  catalogRefreshMillis: millis.min(1_000).default(60_000),
  onInvalidHint: z.enum(['throw', 'ignore']).optional(),
  onTwoPrimaries: z.enum(['highestTimeline', 'refuse']).default('highestTimeline'),
  ...freshness,
  waitMillis: millis.default(50),
  maxLagMillis: positiveMillis.default(10_000),
  lane: z.union([z.boolean(), lane]).optional(),
  namedStatements: z.boolean().optional(),
  hangMillis: positiveMillis.default(500),
  probeMillis: positiveMillis.default(250),
  idleProbeMillis: positiveMillis.default(1_000),
  assumeSynchronousCommit: z.boolean().default(false),
  tracking: z.enum(['lsn', 'window']).default('lsn'),
  stickinessMillis: positiveMillis.default(5_000),
  secrets: z.array(z.string().min(16)).default([]),
  tokenLifetimeMillis: z
    .number()
    .min(10_000)
    .max(2 ** 31 - 1)
    .default(60_000),
  monitor: z.enum(['timer', 'onDemand']).default('timer'),
  onConnect: z.custom<OnConnect>((value) => typeof value === 'function').optional(),
});

const abort = {
  timeoutMillis: positiveMillis.optional(),
  signal: z.instanceof(AbortSignal).optional(),
};

const writeSchema = z.strictObject(abort);

const readSchema = z.strictObject({
  ...abort,
  ...freshness,
  atLeast: z.string().optional(),
  partitionKey,
  priority,
  target: z.union([z.enum(['primary', 'replica']), z.strictObject({ node: nodeName })]).optional(),
});

const streamSchema = z.strictObject({
  ...readSchema.shape,
  batchRows: z.int().min(1).max(100_000).optional(),
});

const connectionSchema = readSchema;

const transactionSchema = z.strictObject({
  ...freshness,
  ...abort,
  readOnly: z.boolean().optional(),
  isolation: z.enum(['read committed', 'repeatable read', 'serializable']).optional(),
  retries: z.int().min(0).max(100).optional(),
});

const sessionSchema = z.strictObject({
  ...freshness,
  token: z.string().optional(),
  partitionKey,
  priority,
  inherit: z.enum(['process', 'none']).optional(),
  subject,
  monotonicAcrossRequests: z.boolean().optional(),
});

/**
 * @param options a string names all hosts: `postgres://user@h1,h2:5433,h3/database`
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function settingsFrom(options: string | ClusterOptions, behaviour: ClusterBehaviour = {}): Settings {
  if (typeof options !== 'string' && Object.keys(behaviour).length > 0) {
    throw invalidOptions('createCluster: expected a second argument only beside a URL; put all options into the first');
  }
  const given = typeof options === 'string' ? { ...behaviour, nodes: nodesFromUrl(options) } : options;
  const checked = check(clusterSchema, given, 'createCluster');
  // The checked copy told whether the labels are right; pg gets the caller's own objects.
  const {
    primary,
    replicas,
    nodes,
    consistency,
    maxStalenessMillis,
    primaryReadBudget,
    onInvalidHint,
    onConnect,
    lane,
    namedStatements,
    ...rest
  } = checked;
  const settings: Settings = {
    ...rest,
    onConnect,
    primaryReadBudget,
    onInvalidHint,
    consistency: consistency ?? 'session',
    maxStalenessMillis,
    lane: laneSettings(typeof lane === 'object' ? lane : {}),
    namedStatements,
    nodes: nodesOf(given, typeof lane === 'object' ? undefined : lane),
  };
  rejectTwins(settings.nodes);
  return Object.freeze(settings);
}

function laneSettings({ connections, maxInFlight = 128 }: LaneOptions): LaneSettings {
  return { connections: connections ?? (availableParallelism() < 4 ? 1 : 2), maxInFlight };
}

function nodesOf(
  { primary, replicas, nodes }: LabelledNodes | UnlabelledNodes,
  lane: boolean | undefined,
): NodeSettings[] {
  const settings = (options: NodeOptions, name: string, where: string, role: NodeSettings['role']): NodeSettings => {
    const own = nodeSettings(options, name, where, role);
    return { ...own, lane: own.lane ?? lane };
  };
  if (nodes !== undefined) {
    if (primary === undefined && replicas === undefined) {
      return nodes.map((node, i) => settings(node, `n${i + 1}`, `nodes[${i}]`, i === 0 ? 'primary' : 'replica'));
    }
    throw invalidOptions('createCluster: expected either nodes or primary and replicas, got both');
  }
  if (primary === undefined)
    throw invalidOptions('createCluster: primary: expected a server, or all of them as nodes, got undefined');
  const others = (replicas ?? []).map((node, i) => settings(node, `r${i + 1}`, `replicas[${i}]`, 'replica'));
  return [settings(primary, 'primary', 'primary', 'primary'), ...others];
}

const poolSchema = z.strictObject({ intent: z.enum(['auto', 'read', 'write']).optional() });

const callSchemas = {
  read: readSchema,
  write: writeSchema,
  transaction: transactionSchema,
  stream: streamSchema,
  connection: connectionSchema,
  session: sessionSchema,
  pool: poolSchema,
};

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function checkOptions(call: keyof typeof callSchemas, options: object): void {
  check(callSchemas[call], options, call);
}

function check<S extends z.ZodType>(schema: S, options: unknown, where: string): z.infer<S> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  // Only the place and the kind of the mistake: the value may be a connection string.
  const issues = result.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`);
  throw invalidOptions(`${where}: ${issues.join('; ')}`);
}

function nodeSettings(
  options: NodeOptions,
  defaultName: string,
  where: string,
  role: NodeSettings['role'],
): NodeSettings {
  if (typeof options === 'string') {
    const pool = new pg.Pool({ connectionString: checkedUrl(options, where) });
    return { name: defaultName, role, weight: 1, pool, ownsPool: true, lane: undefined };
  }
  const { name = defaultName, weight = 1, lane, ...config } = options;
  if ('pool' in config) {
    const { pool } = config;
    if (typeof pool?.connect !== 'function' || typeof pool.on !== 'function') {
      throw invalidOptions(`${where}.pool: expected a pg.Pool`);
    }
    if (pool.ending) throw invalidOptions(`${where}.pool: expected an open pg.Pool, this one was ended`);
    return { name, role, weight, pool, ownsPool: false, lane };
  }
  if ('connectionString' in config) checkedUrl(config.connectionString, `${where}.connectionString`);
  return { name, role, weight, pool: new pg.Pool(config), ownsPool: true, lane };
}

/** A URL with several hosts, as libpq takes them: everything else in it holds for each. A node is named by its host, with the port where hosts repeat. */
function nodesFromUrl(url: string): NodeOptions[] {
  const [, scheme, login = '', hosts, rest = ''] =
    /^(postgres(?:ql)?:\/\/)([^/?#]*@)?([^/?#@]*)([/?#].*)?$/.exec(url.trim()) ?? [];
  if (scheme === undefined || hosts === undefined || hosts === '') {
    throw invalidOptions(
      'createCluster: expected postgres://user:password@host1:port1,host2:port2/database, got text that is none',
    );
  }
  const places = hosts.split(',');
  const names = places.map((place) => place.replace(/:\d*$/, ''));
  return places.map((place, i) => {
    const name = names[i] as string;
    if (name === '')
      throw invalidOptions('createCluster: expected a host before and after each comma of the URL, got an empty one');
    const isUnique = names.indexOf(name) === names.lastIndexOf(name);
    return { name: isUnique ? name : place, connectionString: `${scheme}${login}${place}${rest}` };
  });
}

function checkedUrl(url: string | undefined, where: string): string {
  if (typeof url !== 'string' || url.trim() === '') {
    const got = url === undefined ? 'undefined (is the environment variable set?)' : 'an empty one';
    throw invalidOptions(`${where}: expected a connection string, got ${got}`);
  }
  try {
    new pg.Client({ connectionString: url }); // parses, connects to nothing
  } catch {
    // pg's own message quotes the text, password included.
    throw invalidOptions(
      `${where}: expected postgres://user:password@host:port/database, got text that pg cannot parse`,
    );
  }
  return url;
}

function rejectTwins(nodes: readonly NodeSettings[]): void {
  const names = new Set<string>();
  const pools = new Set<pg.Pool>();
  for (const { name, pool } of nodes) {
    if (names.has(name)) throw invalidOptions(`createCluster: two nodes are named "${name}"; names must differ`);
    if (pools.has(pool))
      throw invalidOptions(`createCluster: node "${name}" has the same pool as another one; each server needs its own`);
    names.add(name);
    pools.add(pool);
  }
}
