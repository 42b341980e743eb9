/**
 * Prisma over the pool: save a name, and read it back from a replica:
 * `npm run test:compat` installs it, `npx tsx --tsconfig examples/tsconfig.json examples/prisma.ts` runs it.
 */
import { PrismaPg } from '@prisma/adapter-pg';
import { createCluster } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';
import { generate } from '../test/compat/prisma/generate.js';

const servers = await startTestCluster({ replicas: 1 });
const cluster = createCluster({
  primary: servers.primary.connectionString,
  replicas: servers.replicas.map(({ connectionString }) => connectionString),
});
await cluster.ready();
await cluster.write('create table people (id int primary key, name text not null, age int not null)');
// What a statement does is known from the catalogue. An application just begins; here the very first read shall show a replica.
await cluster.explain('select 1');

// In an application: import { PrismaClient } from the client that `prisma generate` made.
const { PrismaClient } = await generate();
const pool = cluster.pool();
const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });

cluster.events.on('route', ({ node, reason }) => console.log(`  → ${node} (${reason})`));

await prisma.person.create({ data: { id: 42, name: 'nobody', age: 36 } });

await cluster.session(async () => {
  await prisma.person.update({ where: { id: 42 }, data: { name: 'Ada' } });
  const person = await prisma.person.findFirstOrThrow({ where: { id: 42 } });
  console.log(`read back: ${person.name}`);
});

await prisma.$disconnect();
await pool.end();
await cluster.close();
await servers.stop();
