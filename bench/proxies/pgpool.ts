/** Pgpool-II: it parses each statement, and can send those that only read to any of its servers. */
import type { Servers } from '../contenders/access.js';
import { freePort } from '../free-port.js';
import { addressOf, entry, type Kind, type ProxyPlan, passwordOf } from './proxy.js';
import { instead, recipe } from './recipe.js';

/** Before one server, the first; whoever has more runs more of them. */
export const pgpool: Kind = {
  binary: 'pgpool',
  debianPackage: 'pgpool2',
  stopSignal: 'SIGINT',
  async plan(servers, folder) {
    const { text, port } = await filledIn(servers.primary, folder);
    return planOf(text, folder, { primary: entry(port, passwordOf(servers)), replicas: [] });
  },
};

/** Before all servers, as it comes, but for the choice of a server by statement: by connection, ten of them would seldom be spread evenly. */
export const pgpoolBalanced: Kind = {
  ...pgpool,
  async plan(servers, folder) {
    const { primary, replicas } = servers;
    const password = passwordOf(servers);
    const { text, port } = await filledIn(primary, folder);
    const changes = [
      [/^load_balance_mode = off$/m, 'load_balance_mode = on'],
      [/^statement_level_load_balance = off$/m, 'statement_level_load_balance = on'],
      [/^sr_check_period = 0$/m, 'sr_check_period = 10'],
      [/^num_init_children = .*$/m, 'num_init_children = 128'],
    ] as const;
    const changed = changes.reduce((before, [said, now]) => instead(before, said, now), text);
    const backends = [primary, ...replicas].map((url, index) => {
      const { host, port: behind } = addressOf(url);
      return `backend_hostname${index} = '${host}'\nbackend_port${index} = ${behind}\nbackend_weight${index} = 1\n`;
    });
    const check = `sr_check_user = 'postgres'\nsr_check_password = '${password}'\nsr_check_database = 'postgres'\n`;
    const own = entry(port, password);
    return planOf(`${changed}${check}${backends.join('')}`, folder, { primary: own, replicas: [own] });
  },
};

async function filledIn(server: string, folder: string): Promise<{ text: string; port: number }> {
  const port = await freePort();
  const text = recipe('pgpool.conf', {
    ...addressOf(server),
    'listen-host': '127.0.0.1',
    'listen-port': port,
    'run-dir': `${folder}/run`,
    'pcp-port': await freePort(),
  });
  return { text, port };
}

function planOf(text: string, folder: string, entries: Servers): ProxyPlan {
  return {
    // It asks the client for the password that it needs for the servers.
    files: { 'pgpool.conf': `${text}\nallow_clear_text_frontend_auth = on\n`, 'pcp.conf': '', 'hba.conf': '' },
    args: ['-n', '-f', `${folder}/pgpool.conf`, '-F', `${folder}/pcp.conf`, '-a', `${folder}/hba.conf`],
    entries,
  };
}
