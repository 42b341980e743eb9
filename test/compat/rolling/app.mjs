/**
 * One process of the rolling deploy: a small app on Node's HTTP over the release that it is told to
 * use. POST saves a name and GET shows it, below `/cookies`, `/store` and `/both`: what carries the
 * users' tokens there. It ends when its parent is gone.
 */
import { createServer } from 'node:http';
import { createClient } from 'redis';

const { name, release, redisPort, ...options } = JSON.parse(process.argv[2]);
const { createCluster } = await import(release);
const { httpSessions } = await import(`${release}/http`);
const { redisTokenStore } = await import(`${release}/redis`);

const cluster = createCluster(options);
const redis = redisPort === undefined ? undefined : createClient({ url: `redis://127.0.0.1:${redisPort}` });
await redis?.on('error', () => {}).connect();

const asked = ({ url }) => {
  const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
  const [, way] = pathname.split('/');
  return { way, id: Number(searchParams.get('id')), name: searchParams.get('name') };
};

// The machine may be slow: no position and no answer of Redis is late here.
const patient = { positionTimeoutMillis: 10_000 };
const ways = { cookies: httpSessions(cluster, patient) };
if (redis !== undefined) {
  const storing = {
    ...patient,
    store: redisTokenStore(redis, { timeoutMillis: 10_000 }),
    storeKey: (request) => String(asked(request).id),
  };
  ways.store = httpSessions(cluster, { ...storing, cookie: false, header: false });
  ways.both = httpSessions(cluster, storing);
}

const reads = { primary: 0, replica: 0 };
const warnings = [];
cluster.events.on('route', ({ role, reason }) => {
  if (reason !== 'write') reads[role]++;
});
cluster.events.on('warning', ({ code, message }) => warnings.push(`${code}: ${message}`));

async function answer(request) {
  const { id, name } = asked(request);
  if (request.method === 'POST') {
    await cluster.write('update names set name = $2 where id = $1', [id, name]);
    return 'saved';
  }
  const { rows } = await cluster.read('select name from names where id = $1', [id]);
  return rows[0]?.name ?? 'nobody';
}

const server = createServer((request, response) => {
  response.setHeader('answered-by', name);
  const { way } = asked(request);
  if (way === 'stats') {
    response.end(JSON.stringify({ reads, refused: cluster.stats().tokens, warnings }));
    return;
  }
  const answering = ways[way].run(request, response, async () => response.end(await answer(request)));
  Promise.resolve(answering).catch((error) => response.writeHead(500).end(String(error)));
});

await cluster.ready();
server.listen(0, '127.0.0.1', () => process.send({ origin: `http://127.0.0.1:${server.address().port}` }));
process.once('disconnect', () => {
  server.close();
  server.closeAllConnections();
  redis?.destroy();
  void cluster.close();
});
