/** The primary dies, a replica is promoted, and the application goes on without noticing: `npx tsx examples/failover.ts` */
import { createCluster } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

const servers = await startTestCluster({ replicas: 2 });
const cluster = createCluster({
  nodes: servers.nodes.map(({ name, connectionString }) => ({ name, connectionString })),
});
cluster.events.on('topology', ({ change, primary, timeline }) => {
  console.log(`  topology: ${change}, primary ${primary ?? 'none'}, timeline ${timeline}`);
});

await cluster.write('create table notes (v int)');
await cluster.session(async () => {
  await cluster.write('insert into notes values (1)');
  for (const replica of servers.replicas) await replica.waitForReplay();

  await servers.primary.kill();
  const [heir, other] = servers.replicas;
  // Sent to nobody yet: it waits for the new primary.
  const write = cluster.write('insert into notes values (2)');
  await heir?.promote();
  if (heir !== undefined) await other?.follow(heir);
  await write;
  const { rows } = await cluster.read<{ v: number }>('select v from notes order by v');
  console.log(`the session sees: ${rows.map(({ v }) => v).join(', ')}`);
});

await cluster.close();
await servers.stop();
