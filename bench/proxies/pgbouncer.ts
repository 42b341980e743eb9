/** PgBouncer with transaction pooling: an entry for each server, told apart by the database's name. A connection is another one after each transaction. */
import { addressOf, entry, freePort, type Kind } from './proxy.js';

export const pgbouncer: Kind = {
  binary: 'pgbouncer',
  debianPackage: 'pgbouncer',
  stopSignal: 'SIGTERM',
  async plan({ primary, replicas }, folder) {
    const port = await freePort();
    const all = [primary, ...replicas].map((url, index) => ({ name: index === 0 ? 'primary' : `r${index}`, url }));
    const databases = all.map(({ name, url }) => {
      const { host, port: behind } = addressOf(url);
      return `${name} = host=${host} port=${behind} dbname=postgres user=postgres`;
    });
    // Without passwords; not as root, and so it wants no other user.
    const configuration = `
[databases]
${databases.join('\n')}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
log_connections = 0
log_disconnections = 0
`;
    const [first, ...others] = all.map(({ name }) => entry(port, name));
    return {
      files: { 'pgbouncer.ini': configuration },
      args: [`${folder}/pgbouncer.ini`],
      entries: { primary: first ?? entry(port), replicas: others },
    };
  },
};
