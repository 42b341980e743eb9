/** HAProxy: it sees connections and no statements. */
import type { Servers } from '../contenders/access.js';
import { freePort } from '../free-port.js';
import { entry, type Kind, type ProxyPlan, passwordOf } from './proxy.js';
import { addresses, instead, recipe } from './recipe.js';

/** An entry for each server. */
export const haproxy: Kind = {
  binary: 'haproxy',
  debianPackage: 'haproxy',
  stopSignal: 'SIGTERM',
  plan: async (servers, folder) => {
    const { text, ports } = await filledIn(servers);
    const [primary = '', ...replicas] = [ports.primary, ports.r1, ports.r2].map((each) =>
      entry(each, passwordOf(servers)),
    );
    return planOf(text, folder, { primary, replicas });
  },
};

/** As many use it: an entry for writes, to the primary, and one for reads, to the replicas in turn. */
export const haproxyBalanced: Kind = {
  ...haproxy,
  plan: async (servers, folder) => {
    const { text, ports } = await filledIn(servers);
    const second = /^ {2}server r2 .*$/m.exec(text)?.[0] ?? '';
    const balanced = instead(text, /^ {2}server r1 .*$/m, `$&\n${second}\n  balance roundrobin`);
    const [primary = '', ...replicas] = [ports.primary, ports.r1].map((each) => entry(each, passwordOf(servers)));
    return planOf(balanced, folder, { primary, replicas });
  },
};

async function filledIn(servers: Servers) {
  const ports = { primary: await freePort(), r1: await freePort(), r2: await freePort() };
  const text = recipe('haproxy.cfg', {
    ...addresses(servers),
    'listen-host': '127.0.0.1',
    'primary-listen-port': ports.primary,
    'r1-listen-port': ports.r1,
    'r2-listen-port': ports.r2,
  });
  return { text, ports };
}

/** Without SO_REUSEPORT: two that were given one port would share its connections, and say nothing. */
function planOf(text: string, folder: string, entries: Servers): ProxyPlan {
  return { files: { 'haproxy.cfg': text }, args: ['-db', '-dR', '-f', `${folder}/haproxy.cfg`], entries };
}
