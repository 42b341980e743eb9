/** Runs a write, a read of it and a failed read on the servers whose addresses are its arguments. */
import { createCluster } from '../../src/index.js';

const [primary = '', replica = ''] = process.argv.slice(2);
const cluster = createCluster({ primary, replicas: [{ name: 'r1', connectionString: replica }] });
await cluster.ready();
await cluster.write('insert into notes values ($1)', ['a value of the user']);
await cluster.read('select text from notes where text = $1', ['a value of the user']);
await cluster.read('select no_such_column', []).catch(() => undefined);
await cluster.close();
