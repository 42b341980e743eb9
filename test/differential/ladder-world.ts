/** The library over one primary and its replica, with a pool of each intent. */
import type { Pool, PoolClient, QueryConfig } from 'pg';
import { type Cluster, type ClusterStats, createCluster } from '../../src/index.js';
import { until } from '../behaviour/fixture.js';
import { clientOption } from './drivers.js';
import type { Asked } from './forms.js';
import type { Intent, Setup, Statement, Way } from './program.js';
import { ask, awayFrom, type TransactionOptions, type Within, type World } from './world.js';

/**
 * On a machine that is busy with other things, statements look slow, and slow ones do not share.
 */
const MOST_TRIES = 2_000;
/** The first use of a name there goes alone, the second is described. */
const KNOWN_AFTER = 4;

export class LadderWorld implements World {
  readonly cluster: Cluster;
  readonly #pools: Readonly<Record<Intent, Pool>>;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.#pools = {
      auto: cluster.pool(),
      write: cluster.pool({ intent: 'write' }),
      read: cluster.pool({ intent: 'read' }),
    };
  }

  static async open(primary: string, replica: string, setup: Setup): Promise<LadderWorld> {
    const driver = clientOption(setup.driver);
    const cluster = createCluster({
      primary: { connectionString: primary, ...driver },
      replicas: [{ connectionString: replica, ...driver }],
      ...(setup.lane ? {} : { lane: false as const }),
      ...(setup.namedStatements ? {} : { namedStatements: false as const }),
    });
    const areLive = () => cluster.stats().nodes.every(({ state }) => state === 'live');
    await until('all nodes are live', areLive, 60_000);
    return new LadderWorld(cluster);
  }

  door(way: Way): Asked {
    if (way === 'read' || way === 'write' || way === 'query') return doorOf(this.cluster, way);
    return this.pool(way.slice('pool:'.length) as Intent) as unknown as Asked;
  }

  pool(intent: Intent): Pool {
    return this.#pools[intent];
  }

  async share(statement: Statement): Promise<'asked'> {
    const sharedCount = (): number => this.#nodes().reduce((sum, { lane }) => sum + lane.statementCount, 0);
    const before = sharedCount();
    for (let i = 0; i < MOST_TRIES && sharedCount() < before + KNOWN_AFTER; i++)
      await ask(this.door('query'), statement);
    return 'asked';
  }

  transaction<T>(options: TransactionOptions, fn: (within: Within) => Promise<T>): Promise<T> {
    return this.cluster.transaction((client) => fn(this.#within(client)), options);
  }

  away(): string[] {
    const own = Object.entries(this.#pools).flatMap(([name, pool]) => awayFrom(name, pool));
    return [...own, ...this.#nodes().flatMap(({ name, pool }) => awayFrom(name, pool))];
  }

  async close(): Promise<void> {
    await this.cluster.close();
  }

  #nodes(): ClusterStats['nodes'] {
    return this.cluster.stats().nodes;
  }

  #within(client: PoolClient): Within {
    return {
      client: client as unknown as Asked,
      by: (way) => doorOf(this.cluster, way),
      nested: (fn) => this.cluster.transaction((inner) => fn(this.#within(inner))),
    };
  }
}

function doorOf(cluster: Cluster, way: 'read' | 'write' | 'query'): Asked {
  return { query: (query, values) => cluster[way](query as QueryConfig, values as unknown[] | undefined) };
}
