import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { Cluster, RouteEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../fixture.js';

/** The servers' URLs for an ordinary login role, as applications should have it. */
export function asRole(servers: TestCluster, role: string) {
  const url = (text: string) => text.replace('//postgres:', `//${role}:`);
  return {
    primary: url(servers.primary.connectionString),
    replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString: url(connectionString) })),
  };
}

export let servers: TestCluster;

export let cluster: Cluster;

export let routes: RouteEvent[];

export const idle = () => cluster.stats().nodes.every((node) => node.inFlight === 0);

/** Starts the servers once a file, and opens a cluster over them for each test. */
export function callsAsOrdinaryRole(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using setUp = await open(servers);
    await setUp.write(`create role app login password '${servers.primary.password}'`);
    await setUp.write('grant create on schema public to app');
    await setUp.write('create table numbers as select n from generate_series(1, 5000) as n');
    await setUp.write('grant all on numbers to app');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    cluster = await open(servers, asRole(servers, 'app'));
    routes = [];
    cluster.events.on('route', (event) => routes.push(event));
  });
  afterEach(async () => {
    await cluster.close();
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
  });
}
