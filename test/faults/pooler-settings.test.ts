/** Behind PgBouncer a connection of the server serves several applications: no setting of ours may stay on it. */
import pg from 'pg';
import { expect, it } from 'vitest';
import { pgbouncer } from '../../bench/proxies/pgbouncer.js';
import { RunningProxy } from '../../bench/proxies/proxy.js';
import { startTestCluster } from '../../src/testing/index.js';
import { open, until } from '../behaviour/fixture.js';
import { installed } from './installed.js';

/** `default_pool_size` in examples/poolers. */
const WHOLE_POOL = 20;
const SETTINGS =
  "select current_setting('statement_timeout') as timeout, current_setting('default_transaction_isolation') as level";

const binary = installed(pgbouncer);

const title = binary === undefined ? 'needs PgBouncer, which is not installed here' : 'meet no setting of ours';

it.skipIf(binary === undefined)(`other applications behind PgBouncer: ${title}`, async () => {
  await using servers = await startTestCluster({ replicas: 2 });
  const [primary = '', ...replicas] = servers.nodes.map(({ connectionString }) => connectionString);
  await using proxy = await RunningProxy.start(pgbouncer, binary ?? '', { primary, replicas });
  {
    await using cluster = await open(servers, {
      primary: proxy.entries.primary,
      replicas: [...proxy.entries.replicas],
    });
    await cluster.write('create table users (id int primary key, name text)');
    let readCount = 0;
    const read = async (): Promise<void> => {
      for (let n = 0; n < 25; n++) await cluster.query(`select name, ${n % 8} from users where id = $1`, [42]);
      readCount += 25;
    };
    const startedAt = performance.now();
    // A statement asks for a shared connection once it is known, and known to be short.
    await until(
      'many short statements have been read for a while',
      async () => {
        await Promise.all(Array.from({ length: 16 }, read));
        return readCount >= 4_000 && performance.now() - startedAt > 1_000;
      },
      60_000,
    );
    expect(cluster.stats().nodes.map(({ lane }) => lane.statementCount)).toEqual([0, 0, 0]);
  }
  const found: unknown[] = [];
  for (const connectionString of [proxy.entries.primary, ...proxy.entries.replicas]) {
    const clients = Array.from({ length: WHOLE_POOL }, () => new pg.Client({ connectionString }));
    for (const client of clients) {
      await client.connect();
      // An open transaction keeps the server's connection, so the next client meets another one.
      await client.query('begin');
      found.push(...(await client.query(SETTINGS)).rows);
    }
    await Promise.all(clients.map((client) => client.end()));
  }
  expect(found.filter((one) => JSON.stringify(one) !== '{"timeout":"0","level":"read committed"}')).toEqual([]);
});
