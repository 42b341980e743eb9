/**
 * One process of the tests of several clusters: the same small app three times, on Express, on Fastify and on Node's own
 * HTTP. POST saves a name in both clusters, or in the one that it is told; GET shows both. It ends when its parent is gone.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import { sessionMiddleware } from '../../../src/http/express.js';
import { sessionPlugin } from '../../../src/http/fastify.js';
import { httpSessions } from '../../../src/http/sessions.js';
import { type Cluster, createCluster } from '../../../src/index.js';

/** What it is told as its first argument, in JSON. */
export interface AppConfig {
  readonly clusters: readonly {
    name: string;
    primary: string;
    replicas: { name: string; connectionString: string }[];
    secrets: string[];
  }[];
}

export type Framework = 'express' | 'fastify' | 'http';
export type Origins = Record<Framework, string>;

const { clusters: configs } = JSON.parse(process.argv[2] ?? '') as AppConfig;
const clusters = configs.map((config) => createCluster(config));

const asked = (url: string | undefined) => {
  const { searchParams } = new URL(url ?? '/', 'http://localhost');
  const [id, name, only] = ['id', 'name', 'only'].map((key) => searchParams.get(key));
  return { id: Number(id), name, only };
};
const nameIn = async (cluster: Cluster, id: number) =>
  (await cluster.read<{ name: string }>('select name from names where id = $1', [id])).rows[0]?.name;

/** What it answers: the names that it sees. */
async function work(method: string | undefined, url: string | undefined): Promise<(string | undefined)[]> {
  const { id, name, only } = asked(url);
  if (method === 'POST') {
    const told = clusters.filter((cluster) => only === null || cluster.name === only);
    await Promise.all(told.map((cluster) => cluster.write('update names set name = $2 where id = $1', [id, name])));
  }
  return Promise.all(clusters.map((cluster) => nameIn(cluster, id)));
}

const onExpress = createServer(
  express()
    .use(sessionMiddleware(clusters))
    .use(async (request, response) => {
      response.json(await work(request.method, request.originalUrl));
    }),
);

const onFastify = fastify({ forceCloseConnections: true });
await onFastify.register(sessionPlugin, { cluster: clusters });
onFastify.all('/*', async ({ method, url }) => work(method, url));

const sessions = httpSessions(clusters);
const onNode = createServer((request: IncomingMessage, response: ServerResponse) => {
  void sessions.run(request, response, async () => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(await work(request.method, request.url)));
  });
});

const listening = (server: Server): Promise<string> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });

await Promise.all(clusters.map((cluster) => cluster.ready()));
const origins: Origins = {
  express: await listening(onExpress),
  fastify: await onFastify.listen({ port: 0, host: '127.0.0.1' }),
  http: await listening(onNode),
};
process.send?.(origins);
process.once('disconnect', () => {
  for (const server of [onExpress, onNode]) {
    server.close();
    server.closeAllConnections();
  }
  void Promise.all([onFastify.close(), ...clusters.map((cluster) => cluster.close())]);
});
