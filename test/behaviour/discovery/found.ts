import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import {
  type Cluster,
  type ClusterBehaviour,
  createCluster,
  type Discovery,
  type NodeOptions,
} from '../../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { until } from '../fixture.js';

export const lane = process.env['LANE'] === 'off' ? { lane: false, namedStatements: false } : {};

export const addressOf = ({ name, host, port }: TestNode): NodeOptions => ({ name, host, port });

export const namesOf = (cluster: Cluster) => cluster.stats().nodes.map(({ name }) => name);

export const live = (cluster: Cluster, ...names: string[]) =>
  until(`exactly ${names.join()} are there and answer`, () => {
    const nodes = cluster.stats().nodes.filter(({ state }) => state === 'live' || state === 'probation');
    return (
      nodes.length === namesOf(cluster).length &&
      nodes
        .map(({ name }) => name)
        .sort()
        .join() === names.sort().join()
    );
  });

export let servers: TestCluster;

export const now = {} as { cluster: Cluster; found: NodeOptions[] | Error };

export const list: Discovery = async () => {
  if (now.found instanceof Error) throw now.found;
  return now.found;
};

export const openWith = (discovery: Discovery, behaviour: ClusterBehaviour = {}) =>
  createCluster({
    primary: { connectionString: servers.primary.connectionString, application_name: 'of the test' },
    discovery,
    discoveryMillis: 10,
    ...lane,
    ...behaviour,
  });

/** Starts the servers once a file, and begins each test with the list of the first two. */
export function findsServers(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 3 });
    await query(servers.primary, 'create table items as select i as id, 0 as value from generate_series(1, 64) i');
    await query(servers.primary, 'alter table items add primary key (id)');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(() => {
    now.found = servers.replicas.map(addressOf);
  });
  afterEach(() => now.cluster?.close());
}
