import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { Cluster, RouteEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, until } from '../fixture.js';

export let servers: TestCluster;

export let cluster: Cluster;

export let pool: Pool;

let routes: string[] = [];

export const told = (): string[] => routes.splice(0);

/** Starts the servers once a file, and makes a pool for each test. */
export function usesPool(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using first = await open(servers);
    await first.write('create table server_of (v text)');
    await first.write(`insert into server_of values ('here')`);
    await first.write('create table notes (id serial primary key, body text not null unique)');
    await first.write(
      'create function tenant() returns text language sql stable return current_setting($$app.tenant$$, true)',
    );
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    cluster = await open(servers);
    routes = [];
    cluster.events.on('route', ({ node, reason }: RouteEvent) => routes.push(`${node}:${reason}`));
    // The catalogue is read by then: before, everything is a write.
    await until(
      'the catalogue is known',
      async () => (await cluster.explain('select v from server_of')).class === 'read',
    );
    pool = cluster.pool();
    told();
    return async () => {
      await cluster.close();
      for (const replica of servers.replicas) await replica.resumeReplay();
    };
  });
}
