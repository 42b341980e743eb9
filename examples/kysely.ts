/**
 * Kysely over the pool: save a name, and read it back from a replica:
 * `npm run test:compat` installs it, `npx tsx --tsconfig examples/tsconfig.json examples/kysely.ts` runs it.
 */
import { Kysely, PostgresDialect } from 'kysely';
import { createCluster } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

const servers = await startTestCluster({ replicas: 1 });
const cluster = createCluster({
  primary: servers.primary.connectionString,
  replicas: servers.replicas.map(({ connectionString }) => connectionString),
});
await cluster.ready();
await cluster.write('create table users (id int primary key, name text not null)');
// What a statement does is known from the catalogue. An application just begins; here the very first read shall show a replica.
await cluster.explain('select 1');

interface Database {
  users: { id: number; name: string };
}
const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: cluster.pool() }) });

cluster.events.on('route', ({ node, reason }) => console.log(`  → ${node} (${reason})`));

await db.insertInto('users').values({ id: 42, name: 'nobody' }).execute();

await cluster.session(async () => {
  await db.updateTable('users').set({ name: 'Ada' }).where('id', '=', 42).execute();
  const user = await db.selectFrom('users').selectAll().where('id', '=', 42).executeTakeFirstOrThrow();
  console.log(`read back: ${user.name}`);
});

await db.destroy();
await cluster.close();
await servers.stop();
