/** Pgpool-II: one entry for everything. It parses each statement, and sends those that only read to any of the servers. */
import type { Servers } from '../contenders/access.js';
import { addressOf, entry, freePort, type Kind } from './proxy.js';

export const pgpool: Kind = {
  binary: 'pgpool',
  debianPackage: 'pgpool2',
  stopSignal: 'SIGINT',
  async plan(servers, folder) {
    const port = await freePort();
    return {
      files: { 'pgpool.conf': configuration(servers, folder, port, await freePort()), 'pcp.conf': '', 'hba.conf': '' },
      args: ['-n', '-f', `${folder}/pgpool.conf`, '-F', `${folder}/pcp.conf`, '-a', `${folder}/hba.conf`],
      entries: { primary: entry(port), replicas: [entry(port)] },
    };
  },
};

/** As it comes, but for addresses and the choice of a server by statement: by connection, ten of them would seldom be spread evenly. */
function configuration({ primary, replicas }: Servers, folder: string, port: number, pcpPort: number): string {
  const backends = [primary, ...replicas].map((url, index) => {
    const { host, port: behind } = addressOf(url);
    return `backend_hostname${index} = '${host}'\nbackend_port${index} = ${behind}\nbackend_weight${index} = 1\n`;
  });
  return `
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = ${port}
socket_dir = '${folder}/run'
pcp_port = ${pcpPort}
pcp_socket_dir = '${folder}/run'
pid_file_name = '${folder}/run/pgpool.pid'
logdir = '${folder}/run'
work_dir = '${folder}/run'
pool_passwd = ''
num_init_children = 128
max_pool = 1
load_balance_mode = on
statement_level_load_balance = on
sr_check_user = 'postgres'
sr_check_database = 'postgres'
${backends.join('')}`;
}
