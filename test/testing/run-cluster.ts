// A process that starts a cluster, says where it is, and then does as its first argument says.
// Started by the tests of the watchdog, in order to die.
import { readFileSync } from 'node:fs';
import { startTestCluster } from '../../src/testing/index.js';
import { footprintOf } from './leftovers.js';

function accountOf(user: string): string {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  return lines.find((line) => line.startsWith(`${user}:`)) ?? '';
}

const [then = 'wait', user] = process.argv.slice(2);
if (user !== undefined) {
  process.setgroups?.([]);
  process.setgid?.(Number(/^.*?:.*?:.*?:(\d+)/.exec(accountOf(user))?.[1]));
  process.setuid?.(user);
}
const cluster = await startTestCluster({ replicas: 1 });
const footprints = await Promise.all(cluster.nodes.map(footprintOf));
if (then === 'freeze') await Promise.all(cluster.nodes.map((node) => node.freeze()));
if (then === 'stop') await cluster.stop();
process.stdout.write(`${JSON.stringify(footprints)}\n`);
if (then === 'wait' || then === 'freeze') setInterval(() => {}, 1_000);
