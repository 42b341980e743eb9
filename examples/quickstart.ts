/**
 * Save, reload, and see the new name from a replica. Uses PRIMARY_URL and REPLICA_1_URL where they are set, and otherwise a
 * real primary and replica that it starts for the purpose: `npx tsx examples/quickstart.ts`
 */
import { setTimeout } from 'node:timers/promises';
import { createCluster } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

const { PRIMARY_URL, REPLICA_1_URL } = process.env;
const servers = PRIMARY_URL && REPLICA_1_URL ? undefined : await startTestCluster({ replicas: 1 });

const cluster = createCluster({
  primary: { connectionString: PRIMARY_URL ?? servers?.primary.connectionString },
  replicas: [{ name: 'r1', connectionString: REPLICA_1_URL ?? servers?.replicas[0]?.connectionString }],
});

cluster.events.on('route', ({ node, reason }) => console.log(`  → ${node} (${reason})`));

// An application just begins, and the primary answers until the replicas are known. Here the very first read shall show one.
while (cluster.stats().nodes.some((node) => node.state === 'unknown')) await setTimeout(10);

await cluster.write('create table if not exists users (id int primary key, name text not null)');
await cluster.write("insert into users values (42, 'nobody') on conflict (id) do nothing");

const token = await cluster.session(async (session) => {
  await cluster.write('update users set name = $1 where id = $2', ['Ada', 42]);
  const { rows } = await cluster.read<{ name: string }>('select name from users where id = $1', [42]);
  console.log(`read back: ${rows[0]?.name}`);
  return session.token();
});

// The next request, in another process: with the token it cannot see an older name, whichever server answers.
await cluster.session(
  async () => {
    const { rows } = await cluster.read<{ name: string }>('select name from users where id = $1', [42]);
    console.log(`next request: ${rows[0]?.name}`);
  },
  { token, inherit: 'none' },
);

await cluster.close();
await servers?.stop();
