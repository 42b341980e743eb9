/** One of the two servers that `npm run bench:http` compares: a route that reads once, with the plugin or without. Says its port, and ends with its parent. */

import Fastify from 'fastify';
import type * as plugin from '../src/http/fastify.js';
import type * as library from '../src/index.js';
import { POOL } from './contenders/access.js';
import { POINT } from './statements.js';

const built = (name: string): string => new URL(`../dist/${name}.js`, import.meta.url).href;
const [isPlugged, primary = '', ...replicas] = process.argv.slice(2);

const { createCluster } = (await import(built('index'))) as typeof library;
const node = (connectionString: string) => ({ connectionString, ...POOL });
const cluster = createCluster({
  primary: node(primary),
  replicas: replicas.map(node),
  secrets: ['only for this benchmark'],
});
await cluster.ready();
const app = Fastify();
if (isPlugged === 'true') {
  const { sessionPlugin } = (await import(built('fastify'))) as typeof plugin;
  app.register(sessionPlugin, { cluster });
}
app.get<{ Params: { id: string } }>('/:id', async (request) => {
  const { rows } = await cluster.read(POINT, [request.params.id]);
  return rows[0];
});
const address = await app.listen({ host: '127.0.0.1', port: 0 });
// The client's token, as some request before has given it.
const token = await cluster.session(async (session) => {
  await cluster.write('select 1');
  return session.token();
});
process.send?.({ address, token });
process.on('disconnect', () => process.exit());
