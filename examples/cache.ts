/**
 * Answers from memory that never hide a write from its user, and no line of code that deletes a key. Starts a real primary
 * and replica for the purpose: `npx tsx examples/cache.ts`
 */
import { createCluster, routeOf } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

await using servers = await startTestCluster({ replicas: 1 });
await using cluster = createCluster({
  primary: servers.primary.connectionString,
  replicas: [{ name: 'r1', connectionString: servers.replicas[0]?.connectionString }],
  waitMillis: 2_000, // so that a slow machine shows the same
  cache: { rules: [{ tables: ['products'], maxStalenessMillis: 30_000 }] }, // what reads products only
});

await cluster.write('create table products (id int primary key, name text not null)');
await cluster.write("insert into products values (1, 'lamp')");
await cluster.write('create table users (id int primary key, name text not null)');
await cluster.write("insert into users values (42, 'nobody')");
await cluster.ready();
await servers.replicas[0]?.waitForReplay();

const USER = 'select name from users where id = $1';
async function show(who: string): Promise<string | undefined> {
  const result = await cluster.read<{ name: string }>(USER, [42], { cache: { maxStalenessMillis: 5_000 } });
  const name = result.rows[0]?.name;
  console.log(`${who} sees ${name}, from ${routeOf(result)?.rung}`);
  return routeOf(result)?.rung;
}
// A request of its own, as a middleware makes one: it starts from the user's token, and from nothing else.
const request = (fn: () => Promise<unknown>, token?: string) => cluster.session(fn, { token, inherit: 'none' });

// The first reads open connections, and find out what the text depends on.
for (let rung: string | undefined; rung !== 'memory'; ) await request(async () => (rung = await show('a visitor')));

let token: string | undefined;
await cluster.session(
  async (session) => {
    await cluster.write('update users set name = $1 where id = $2', ['Ada', 42]);
    token = await session.token();
  },
  { inherit: 'none' },
);
await request(() => show('Ada'), token); // her own write: the kept answer does not show it, and is passed by
await request(() => show('Ada again'), token); // kept again
await request(() => show('another visitor'));

const { cache } = await cluster.explain('select now()', [], { cache: true });
console.log(`not kept: ${cache?.because}`);

// Code that asks for nothing, such as an ORM's: the rule says what is cached.
const pool = cluster.pool();
let product = await pool.query('select name from products where id = 1');
while (routeOf(product)?.rung !== 'memory') product = await pool.query('select name from products where id = 1');
console.log(`a ${product.rows[0]?.name}, by a rule, from ${routeOf(product)?.rung}`);

const { hits, misses, memory } = cluster.cache.stats();
console.log(
  `hits: ${hits.memory.session > 2}; passed by since they did not show a write: ${misses['behind-floor'] > 0}`,
);
console.log(`${memory.entryCount} answers are held`);
await pool.end();
