/**
 * One process of the tests that need several: a small app on Express with a cluster of its own, which may call the next such process. All it does is there
 * twice: in sessions that travel, and below `/bare` in sessions that end with their request. Started by http-processes.test.ts, it ends when that is gone.
 */
import type { AddressInfo } from 'node:net';
import express from 'express';
import { Agent, request as undiciRequest } from 'undici';
import { sessionMiddleware } from '../../src/http/express.js';
import { sessionFetch, sessionInterceptor } from '../../src/http/sessions.js';
import { createCluster } from '../../src/index.js';

/** What it is told as its first argument, in JSON. */
export interface AppConfig {
  name: string;
  primary: string;
  replicas: { name: string; connectionString: string }[];
  secrets: string[];
  /** The service that it calls, and how. */
  next?: { origin: string; by: 'fetch' | 'agent' };
}

/** Where its reads were answered, since it started. */
export type ReadCounts = Record<'primary' | 'replica', number>;

/** Below it, nothing is carried on. */
const BARE = '/bare';

/** What was seen after the write, by the service's name. */
export type Seen = Record<string, string>;

const { name: ownName, next, ...options } = JSON.parse(process.argv[2] ?? '') as AppConfig;
const cluster = createCluster(options);
const agent = new Agent();

const counts: ReadCounts = { primary: 0, replica: 0 };
cluster.events.on('route', ({ role, reason }) => {
  if (reason !== 'write') counts[role]++;
});

const of = ({ originalUrl }: express.Request) => {
  const { searchParams } = new URL(originalUrl, 'http://localhost');
  return { id: Number(searchParams.get('id')), name: searchParams.get('name') ?? '' };
};
const save = (id: number, name: string) => cluster.write('update names set name = $2 where id = $1', [id, name]);
const nameOf = async (id: number) =>
  (await cluster.read<{ name: string }>('select name from names where id = $1', [id])).rows[0]?.name ?? 'nobody';

const origins = next === undefined ? [] : [next.origin];
const told = sessionFetch(cluster, { origins });
const dispatcher = agent.compose(sessionInterceptor(cluster, { origins }));

/** Asks the next service to do the same. */
async function relay({ origin, by }: NonNullable<AppConfig['next']>, path: string): Promise<Seen> {
  if (by === 'fetch') return (await told(`${origin}${path}`, { method: 'POST' })).json() as Promise<Seen>;
  const { body } = await undiciRequest(`${origin}${path}`, { method: 'POST', dispatcher });
  return body.json() as Promise<Seen>;
}

const routes = express
  .Router()
  .get('/name', async (request, response) => {
    response.send(await nameOf(of(request).id));
  })
  .post('/name', async (request, response) => {
    const { id, name } = of(request);
    await save(id, name);
    response.sendStatus(204);
  })
  // The last one writes, and whoever called reads what it wrote.
  .post('/relay', async (request, response) => {
    const { id, name } = of(request);
    if (next === undefined) {
      await save(id, name);
      response.json({});
    } else {
      const seen = await relay(next, request.originalUrl);
      response.json({ ...seen, [ownName]: await nameOf(id) });
    }
  })
  // A job for whoever works on the table `jobs`: it shall see what this request has written.
  .post('/job', async (request, response) => {
    const { id, name } = of(request);
    await save(id, name);
    const token = request.baseUrl === BARE ? undefined : await cluster.currentSession()?.token();
    await cluster.write('insert into jobs (payload) values ($1)', [{ id, name, token }]);
    response.sendStatus(204);
  });

const app = express()
  .get('/stats', (_request, response) => {
    response.json(counts);
  })
  // Without any session the process would be the session: what it wrote for others would hide what it does not know of this user.
  .use(BARE, (_request, _response, next) => cluster.session(() => next(), { inherit: 'none' }), routes)
  .use(sessionMiddleware(cluster), routes);

await cluster.ready();
const server = app.listen(0, '127.0.0.1', () => {
  process.send?.({ origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});
process.once('disconnect', () => {
  server.close();
  server.closeAllConnections();
  void Promise.all([agent.close(), cluster.close()]);
});
