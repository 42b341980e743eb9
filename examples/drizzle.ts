/**
 * Drizzle over the pool: save a name, and read it back from a replica:
 * `npm run test:compat` installs it, `npx tsx --tsconfig examples/tsconfig.json examples/drizzle.ts` runs it.
 */
import { eq } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
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

const users = pgTable('users', { id: integer().primaryKey(), name: text().notNull() });
const pool = cluster.pool();
const db = drizzle({ client: pool });

cluster.events.on('route', ({ node, reason }) => console.log(`  → ${node} (${reason})`));

await db.insert(users).values({ id: 42, name: 'nobody' });

await cluster.session(async () => {
  await db.update(users).set({ name: 'Ada' }).where(eq(users.id, 42));
  const [user] = await db.select().from(users).where(eq(users.id, 42));
  console.log(`read back: ${user?.name}`);
});

await pool.end();
await cluster.close();
await servers.stop();
