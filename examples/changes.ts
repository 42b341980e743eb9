/**
 * A kept answer stays current while its table is written, until its own row changes. Starts a real primary and replica
 * for the purpose: `npx tsx examples/changes.ts`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createCluster, routeOf } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

await using servers = await startTestCluster({ replicas: 1, settings: { wal_level: 'logical' } });
await using cluster = createCluster({
  primary: servers.primary.connectionString,
  replicas: [{ name: 'r1', connectionString: servers.replicas[0]?.connectionString }],
  waitMillis: 2_000, // so that a slow machine shows the same
  cache: { maxStalenessMillis: 60_000 },
  changes: { tables: ['profiles'] },
});

await cluster.write('create table profiles (id int primary key, name text not null)');
await cluster.write("insert into profiles values (1, 'Ada'), (2, 'nobody')");
await cluster.write('create publication pg_ladder for table profiles'); // `pg-ladder changes install` does it, and more
await cluster.ready();
while (cluster.changes.stats().state !== 'current' || !cluster.changes.stats().areDefinitionsKnown) await sleep(20);
console.log(`changes are heard of ${cluster.changes.stats().tables.join()}`);

const heard: string[] = [];
cluster.changes.on('tables', ({ tables }) => void heard.push(...tables));

const PROFILE = 'select name from profiles where id = $1';
async function show(id: number): Promise<string | undefined> {
  const result = await cluster.read<{ name: string }>(PROFILE, [id], { cache: true });
  const rung = routeOf(result)?.rung;
  console.log(`profile ${id}: ${result.rows[0]?.name}, from ${rung}`);
  return rung;
}
// A request of its own, as a middleware makes one.
const request = (fn: () => Promise<unknown>) => cluster.session(fn, { inherit: 'none' });

// The first reads open connections, and find out what the text depends on.
for (let rung: string | undefined; rung !== 'memory'; ) await request(async () => (rung = await show(1)));

await request(async () => {
  await cluster.write('update profiles set name = $1 where id = $2', ['Grace', 2]);
  await show(2); // the session's own write: a server answers
  // The kept answer about profile 1 is from before that write. Still, it is known that nothing of it has changed.
  for (let rung: string | undefined; rung !== 'memory'; await sleep(20)) {
    const { cache } = await cluster.explain(PROFILE, [1], { cache: true });
    rung = cache?.rung;
  }
  console.log('its table was written, its row was not:');
  await show(1);
});

await request(async () => {
  await cluster.write('update profiles set name = $1 where id = $2', ['Ada Lovelace', 1]);
  await show(1); // its own row was
});

while (heard.length < 2) await sleep(20);
console.log(`heard: ${[...new Set(heard)].join()}`);
