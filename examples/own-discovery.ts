// Whatever knows your servers can tell them: a function of Aurora's, and the HTTP interface of Consul, both played here by stand-ins.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Cluster, createCluster, type Discovery } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

const aurora =
  (addressOf: (id: string) => { host: string; port?: number }): Discovery =>
  async ({ ask }) => {
    const [answer] = await ask<{ id: string }>(`select server_id as id from aurora_replica_status()
      where session_id = 'MASTER_SESSION_ID' or last_update_timestamp > now() - interval '5 minutes'`);
    if (answer === undefined) throw new Error('no instance answers');
    return answer.rows.map(({ id }) => ({ name: id, ...addressOf(id) }));
  };

const consul =
  (url: string): Discovery =>
  async ({ signal }) => {
    const answer = await fetch(`${url}/v1/health/service/postgres?passing`, { signal, redirect: 'error' });
    if (!answer.ok) throw new Error(`Consul answers ${answer.status}`);
    const entries = (await answer.json()) as {
      Service: { ID: string; Address: string; Port: number };
      Node: { Address: string };
    }[];
    return entries.map(({ Service: s, Node }) => ({ name: s.ID, host: s.Address || Node.Address, port: s.Port }));
  };

async function show(who: string, cluster: Cluster): Promise<void> {
  const isThere = (name: string) => cluster.stats().nodes.some((node) => node.name === name && node.state === 'live');
  while (!isThere('r1') || !isThere('r2')) await new Promise((resolve) => setTimeout(resolve, 20));
  const { rows } = await cluster.read<{ port: number }>('select inet_server_port() as port', [], { target: 'replica' });
  console.log(`${who}: a replica answers: ${servers.replicas.some(({ port }) => port === rows[0]?.port)}`);
}

await using servers = await startTestCluster({ replicas: 2 });
const { connectionString } = servers.primary;
const ports = new Map(servers.replicas.map(({ name, port }) => [name, port]));
await using own = createCluster({ primary: connectionString });
await own.write(`create function aurora_replica_status()
  returns table (server_id text, session_id text, last_update_timestamp timestamptz) language sql as
  $$ values ('r1', 'a', now()), ('r2', 'b', now()), ('long gone', 'c', now() - interval '1 day') $$`);

// Of your cluster: (id) => ({ host: `${id}.c3x7.eu-west-1.rds.amazonaws.com` })
const atTest = (id: string) => ({ host: '127.0.0.1', port: ports.get(id) ?? 1 });
await using byAurora = createCluster({ primary: connectionString, discovery: aurora(atTest), discoveryMillis: 50 });
await show('Aurora', byAurora);

const agent = createServer((_, answer) => {
  const Node = { Address: '127.0.0.1' };
  answer.end(JSON.stringify([...ports].map(([ID, Port]) => ({ Node, Service: { ID, Address: '', Port } }))));
});
await new Promise<void>((resolve) => agent.listen(0, '127.0.0.1', resolve));
// Of your machine: http://127.0.0.1:8500
const url = `http://127.0.0.1:${(agent.address() as AddressInfo).port}`;
await using byConsul = createCluster({ primary: connectionString, discovery: consul(url), discoveryMillis: 50 });
await show('Consul', byConsul);
await byConsul.close();
agent.close();
