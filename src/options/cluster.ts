/**
 * What `createCluster` accepts, documented by hand, checked once. Behind it are only frozen
 * settings with defaults; nothing else in the library reads an option.
 */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import type { Consistency } from '../freshness/requirement.js';
import { logsOnly } from '../redaction.js';
import type { ClusterBehaviour, ClusterOptions, HotKeyOptions, LaneOptions, OnConnect } from './behaviour.js';
import { type CacheSettings, cacheOfCluster, cacheSettings } from './cache.js';
import { type ChangesSettings, changesOfCluster, changesSettings } from './changes.js';
import { check, freshness, label, millis, optionsOf, positiveMillis } from './check.js';
import { type ClusterIdentity, clusterName, identityOf } from './cluster-name.js';
import type { InheritCredentials } from './credentials.js';
import type { Discovery } from './discovery.js';
import { type NodeSettings, node, nodesFromUrl, nodesOf, rejectTwins } from './servers.js';

export type {
  ClusterBehaviour,
  ClusterOptions,
  HotKeyOptions,
  LaneOptions,
  OnConnect,
  RetryBudgetOptions,
} from './behaviour.js';

export interface LaneSettings {
  readonly connections: number;
  readonly maxInFlight: number;
}

export interface RetryBudgetSettings {
  readonly share: number;
  readonly perSecond: number;
}

/** What transactions are held to; one of the two bounds is set. */
export interface TransactionLimits {
  readonly idleMillis: number | undefined;
  readonly maxMillis: number | undefined;
  /** Whether what exceeds them is ended, and not only told. */
  readonly ends: boolean;
}

export interface Settings {
  readonly identity: ClusterIdentity;
  /** One of them guessed to be the primary. */
  readonly nodes: readonly NodeSettings[];
  readonly primaryReadBudget: number | undefined;
  readonly maxWaiting: number;
  readonly readOnlyFunctions: readonly string[];
  readonly catalogRefreshMillis: number;
  readonly onInvalidHint: 'throw' | 'ignore' | undefined;
  readonly primaryWaitMillis: number;
  readonly retryBudget: RetryBudgetSettings;
  readonly transactionLimits: TransactionLimits | undefined;
  readonly onTwoPrimaries: 'highestTimeline' | 'refuse';
  readonly onSerializableDefault: 'primary' | 'repeatableRead';
  readonly consistency: Consistency;
  readonly maxStalenessMillis: number | undefined;
  readonly waitMillis: number;
  readonly zone: string | undefined;
  readonly loadFactor: number;
  readonly hotKeys: HotKeyOptions | false;
  readonly discovery: Discovery | undefined;
  /**
   * Whether servers that it finds have shared connections; `undefined`: unless something speaks
   * against it.
   */
  readonly foundLane: boolean | undefined;
  readonly inheritCredentials: InheritCredentials;
  readonly discoveryMillis: number;
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
  readonly tokenVersion: 2 | 3;
  readonly monitor: 'timer' | 'onDemand';
  readonly onConnect: OnConnect | undefined;
  /** The rungs above the replicas; `undefined` without them. */
  readonly cache: CacheSettings | undefined;
  /** `undefined`: changes are not heard. */
  readonly changes: ChangesSettings | undefined;
}

const lane = optionsOf({
  connections: z.int().min(1).max(64).optional(),
  maxInFlight: z.int().min(1).max(10_000).optional(),
});

const hotKeys = optionsOf({
  share: z.number().positive().lt(1).optional(),
  target: z.enum(['replicas', 'primary']).optional(),
});

const clusterSchema = optionsOf({
  name: clusterName.optional(),
  primary: node.optional(),
  replicas: z.array(node).optional(),
  nodes: z.array(node).min(1).optional(),
  primaryReadBudget: z.int().min(1).optional(),
  maxWaiting: z.int().min(1).default(10_000),
  primaryWaitMillis: millis.default(10_000),
  retryBudget: optionsOf({
    share: z.number().min(0).max(1).default(0.2),
    perSecond: z.number().min(0).max(1_000_000).default(10),
  }).prefault({}),
  idleInTransactionMillis: millis.min(10).optional(),
  maxTransactionMillis: millis.min(10).optional(),
  onTransactionLimit: z.enum(['warn', 'end']).default('warn'),
  readOnlyFunctions: z
    .array(z.string().regex(/^[^.()]+\.[^.()]+(\([^()]*\))?$/, 'expected schema.name or schema.name(types)'))
    .default([]),
  catalogRefreshMillis: millis.min(1_000).default(60_000),
  onInvalidHint: z.enum(['throw', 'ignore']).optional(),
  onTwoPrimaries: z.enum(['highestTimeline', 'refuse']).default('highestTimeline'),
  onSerializableDefault: z.enum(['primary', 'repeatableRead']).default('primary'),
  ...freshness,
  waitMillis: millis.default(50),
  maxLagMillis: positiveMillis.default(10_000),
  lane: z.union([z.boolean(), lane], 'expected true, false or { connections, maxInFlight }').optional(),
  zone: label.optional(),
  loadFactor: z.number().min(1).max(100).default(1.25),
  hotKeys: z.union([z.literal(false), hotKeys], 'expected false or { share, target }').default({}),
  discovery: z.custom<Discovery>((value) => typeof value === 'function', 'expected a function').optional(),
  inheritCredentials: z.enum(['tls', 'always', 'never']).default('tls'),
  discoveryMillis: millis.min(10).default(5_000),
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
  tokenVersion: z.union([z.literal(2), z.literal(3)]).default(2),
  monitor: z.enum(['timer', 'onDemand']).default('timer'),
  onConnect: z.custom<OnConnect>((value) => typeof value === 'function').optional(),
  cache: cacheOfCluster,
  changes: changesOfCluster,
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
    name,
    primary,
    replicas,
    nodes,
    consistency,
    maxStalenessMillis,
    primaryReadBudget,
    onInvalidHint,
    onConnect,
    zone,
    discovery,
    lane,
    namedStatements,
    cache,
    changes,
    idleInTransactionMillis: idleMillis,
    maxTransactionMillis: maxMillis,
    onTransactionLimit,
    ...rest
  } = checked;
  const servers = nodesOf(given, typeof lane === 'object' ? undefined : lane);
  rejectTwins(servers);
  const settings: Settings = {
    ...rest,
    identity: identityOf(name, servers),
    onConnect,
    primaryReadBudget,
    onInvalidHint,
    zone,
    discovery,
    consistency: consistency ?? 'session',
    maxStalenessMillis,
    lane: laneSettings(typeof lane === 'object' ? lane : {}),
    namedStatements,
    foundLane: typeof lane === 'object' ? undefined : lane,
    nodes: servers,
    cache: cacheSettings(cache),
    changes: changesSettings(changes),
    transactionLimits:
      idleMillis === undefined && maxMillis === undefined
        ? undefined
        : { idleMillis, maxMillis, ends: onTransactionLimit === 'end' },
  };
  Object.defineProperty(settings, 'secrets', { enumerable: false });
  logsOnly(settings, 'Settings', () => ({}));
  return Object.freeze(settings);
}

function laneSettings({ connections, maxInFlight = 128 }: LaneOptions): LaneSettings {
  return { connections: connections ?? (availableParallelism() < 4 ? 1 : 2), maxInFlight };
}
