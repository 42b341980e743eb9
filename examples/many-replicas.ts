// Keys have replicas of their own, a replica that leaves takes only its own keys with it, and a key that everybody reads is spread.
import { createCluster } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

await using servers = await startTestCluster({ replicas: 3 });

// In your application: dnsDiscovery, patroniDiscovery or replicationDiscovery of 'pg-ladder/discovery', or whatever knows your servers.
let present = servers.replicas;
await using cluster = createCluster({
  primary: servers.primary.connectionString,
  discovery: () => present.map(({ name, host, port }) => ({ name, host, port })),
  discoveryMillis: 50,
});
cluster.events.on('membership', ({ node, change }) => console.log(`  ${node} has ${change}`));

const keys = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay'];
async function places(): Promise<string> {
  const found: string[] = [];
  for (const key of keys) {
    const { node } = await cluster.explain('select 1', [], { partitionKey: key });
    found.push(`${key} → ${node}`);
  }
  return found.join(', ');
}
async function settled(count: number): Promise<void> {
  const isSettled = () => {
    const { nodes } = cluster.stats();
    return nodes.length === count + 1 && nodes.every(({ state }) => state === 'live');
  };
  while (!isSettled()) await new Promise((resolve) => setTimeout(resolve, 20));
}

await settled(3);
console.log(await places());
present = servers.replicas.slice(0, 2);
await settled(2);
console.log(await places());

// Everybody reads what the celebrity writes.
const readers = Array.from({ length: 16 }, async () => {
  for (let i = 0; i < 200; i++)
    await cluster.read('select 1', [], { partitionKey: i % 2 === 0 ? 'celebrity' : `user ${i}` });
});
await Promise.all(readers);
const { hotKeys, nodes, routes } = cluster.stats();
console.log(`hot: ${hotKeys.length} key; reads spread: ${routes['hot-key'] > 500}`);
console.log(nodes.filter(({ role }) => role === 'replica').every(({ readShare }) => readShare > 0.2));
