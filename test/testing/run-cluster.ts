// A process that starts a cluster, says where it is, and then does as its first argument says.
// Started by the tests of the watchdog, in order to die.
import { startTestCluster } from '../../src/testing/index.js';
import { query } from './query.js';

const [then = 'wait', uid] = process.argv.slice(2);
if (uid !== undefined) {
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
}
const cluster = await startTestCluster({ replicas: 1 });
const facts = await Promise.all(
  cluster.nodes.map(async (node) => ({
    directory: (await query(node, 'show data_directory')) as string,
    pids: (await query(
      node,
      `select array_agg(pid) from pg_stat_activity where backend_type <> 'client backend'`,
    )) as number[],
  })),
);
if (then === 'freeze') await Promise.all(cluster.nodes.map((node) => node.freeze()));
if (then === 'stop') await cluster.stop();
process.stdout.write(`${JSON.stringify({ version: cluster.version, facts })}\n`);
if (then === 'wait' || then === 'freeze') setInterval(() => {}, 1_000);
