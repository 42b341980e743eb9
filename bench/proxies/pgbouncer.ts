/** PgBouncer: an entry for each server, told apart by the database's name. In transactions' mode a connection is another one after each transaction. */
import { freePort } from '../free-port.js';
import { entry, type Kind, passwordOf } from './proxy.js';
import { addresses, instead, recipe } from './recipe.js';

type Mode = 'transaction' | 'session';

function pooling(mode: Mode): Kind {
  return {
    binary: 'pgbouncer',
    debianPackage: 'pgbouncer',
    stopSignal: 'SIGTERM',
    async plan(servers, folder) {
      const [port, password] = [await freePort(), passwordOf(servers)];
      const text = recipe('pgbouncer.ini', {
        ...addresses(servers),
        database: 'postgres',
        'listen-host': '127.0.0.1',
        'listen-port': port,
        'auth-file': `${folder}/users.txt`,
      });
      return {
        files: {
          'pgbouncer.ini': instead(text, /^pool_mode = transaction$/m, `pool_mode = ${mode}`),
          'users.txt': `"postgres" "${password}"\n`,
        },
        args: [`${folder}/pgbouncer.ini`],
        entries: {
          primary: entry(port, password, 'primary'),
          replicas: servers.replicas.map((_, index) => entry(port, password, `r${index + 1}`)),
        },
      };
    },
  };
}

export const pgbouncer = pooling('transaction');
export const pgbouncerSessions = pooling('session');
