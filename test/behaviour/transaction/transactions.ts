/** A cluster of ours with a replica, and where its statements went: what the tests of transactions share. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { Cluster, RouteEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../fixture.js';

export let servers: TestCluster;

export let cluster: Cluster;

export let routes: RouteEvent[];

export const add = (id: number) => cluster.write('insert into items values ($1, 0)', [id]);

export const ids = async () =>
  (await cluster.read<{ id: number }>('select id from items order by id')).rows.map((r) => r.id);

/** Starts the servers once a file, and opens a cluster over them for each test. */
export function runsTransactions(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    await using setUp = await open(servers);
    await setUp.write('create table items (id int primary key, value int not null)');
    await setUp.write('create table parts (item int references items (id) deferrable initially deferred)');
    await servers.replicas[0]?.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    cluster = await open(servers);
    await cluster.write('truncate items, parts');
    // So that only what a test writes can keep it on the primary.
    await servers.replicas[0]?.waitForReplay();
    await cluster.read('select 1');
    routes = [];
    cluster.events.on('route', (event) => routes.push(event));
  });
  afterEach(async () => {
    await cluster.close();
    await servers.replicas[0]?.resumeReplay();
  });
}
