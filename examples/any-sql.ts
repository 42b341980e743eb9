/** SQL of which nobody says what it is, each statement where it belongs, and why: `npx tsx examples/any-sql.ts` */
import { createCluster } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

const servers = await startTestCluster({ replicas: 1 });
const cluster = createCluster({
  primary: servers.primary.connectionString,
  replicas: servers.replicas.map(({ connectionString }) => connectionString),
});

cluster.events.on('route', ({ node, reason }) => console.log(`  → ${node} (${reason})`));

await cluster.query('create table orders (id serial primary key, total int)');
await cluster.query('create view audited as select id, total, nextval($$orders_id_seq$$) as seen from orders');
await cluster.query('insert into orders (total) select generate_series(1, 10)');
for (const replica of servers.replicas) await replica.waitForReplay();
for (const text of [
  'select sum(total) from orders',
  'select * from orders where id = 1 for update',
  'with gone as (delete from orders where id = 10 returning *) select count(*) from gone',
  'select count(*) from audited',
  '/* primary */ select 1',
]) {
  const { class: found, because } = await cluster.explain(text);
  console.log(`${text}\n  ${found}, since ${because}`);
  await cluster.query(text);
}

await cluster.close();
await servers.stop();
