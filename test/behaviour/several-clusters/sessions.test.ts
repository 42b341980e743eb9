import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sessionMiddleware } from '../../../src/http/express.js';
import { httpSessions, memoryTokenStore, orderOf, sessionFetch } from '../../../src/http/sessions.js';
import { type Cluster, currentJointSession, jointSession } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { clusterInToken } from '../../../src/token/order.js';
import { open } from '../fixture.js';

const alone = { inherit: 'none' } as const;

describe('sessions of two clusters', () => {
  let servers: TestCluster[];
  let clusters: Cluster[];
  let main: Cluster;
  let billing: Cluster;
  const running: Server[] = [];

  beforeAll(async () => {
    servers = await Promise.all([0, 1].map(() => startTestCluster({ replicas: 1, links: true })));
    clusters = await Promise.all(servers.map((own, index) => open(own, { name: ['main', 'billing'][index] ?? '' })));
    [main, billing] = clusters as [Cluster, Cluster];
    await Promise.all(clusters.map((cluster) => cluster.write('create table names (id int primary key, name text)')));
    await Promise.all(clusters.map((cluster) => cluster.write("insert into names values (1, 'new here')")));
    await Promise.all(servers.flatMap(({ replicas }) => replicas.map((replica) => replica.waitForReplay())));
  });
  afterEach(async () => {
    for (const server of running.splice(0)) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    await Promise.all(servers.flatMap(({ replicas }) => replicas.map((replica) => replica.resumeReplay())));
    await Promise.all(servers.flatMap(({ replicas }) => replicas.map((replica) => replica.waitForReplay())));
  });
  afterAll(async () => {
    await Promise.all((clusters ?? []).map((cluster) => cluster.close()));
    await Promise.all((servers ?? []).map((own) => own.stop()));
  });

  const pauseAll = () =>
    Promise.all(servers.flatMap(({ replicas }) => replicas.map((replica) => replica.pauseReplay())));
  const save = (cluster: Cluster, name: string) => cluster.write('update names set name = $1 where id = 1', [name]);
  const shown = async (cluster: Cluster) =>
    (await cluster.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name;
  const listen = async (server: Server): Promise<string> => {
    running.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  };
  const serve = (
    handle: (request: IncomingMessage, response: ServerResponse) => Promise<unknown>,
    sessions = httpSessions(clusters),
  ) =>
    listen(
      createServer((request, response) => {
        void sessions.run(request, response, async () => {
          const found = await handle(request, response);
          response.end(JSON.stringify(found ?? null));
        });
      }),
    );
  const cookiesOf = (response: Response): Record<string, string> =>
    Object.fromEntries(
      response.headers.getSetCookie().map((text) => (text.split(';')[0] ?? '').split('=') as [string, string]),
    );
  const idOf = (cluster: Cluster): string => clusterInToken(cluster.stats().clusterId ?? '');

  it('start a job where whoever queued it was, in both', async () => {
    await pauseAll();
    const token = await jointSession(
      clusters,
      async (session) => {
        await Promise.all(clusters.map((cluster) => save(cluster, 'queued')));
        const headers = await currentJointSession(clusters)?.headers();
        const positions = (text = '') => text.split('.').map((token) => orderOf(token)?.clusterId);
        expect(positions(headers?.['pg-ladder-token'])).toEqual(clusters.map(idOf));
        return session.token();
      },
      alone,
    );
    const seen = () => Promise.all(clusters.map(shown));
    expect(await jointSession(clusters, seen, { ...alone, token })).toEqual(['queued', 'queued']);
    // A worker of one cluster takes its own from the same text.
    expect(await billing.session(() => shown(billing), { ...alone, token })).toBe('queued');
    expect(await jointSession(clusters, seen, alone)).toEqual(['new here', 'new here']);
    expect(clusters.map((cluster) => cluster.stats().tokens.malformed)).toEqual([0, 0]);
  });

  it('keep apart: a write to one holds no read of the other', async () => {
    await pauseAll();
    const reasons: string[] = [];
    billing.events.on('route', ({ role }) => reasons.push(role));
    await jointSession(
      clusters,
      async () => {
        await save(main, 'only here');
        expect(await shown(main)).toBe('only here');
        await shown(billing);
      },
      alone,
    );
    billing.events.removeAllListeners();
    expect(reasons).toEqual(['replica']);
  });

  it('leave in a cookie for each, and only for those that have something to carry', async () => {
    const url = await serve(async ({ url }) => {
      if (url === '/main') await save(main, 'in a cookie');
      if (url === '/billing') await save(billing, 'in a cookie');
      return Promise.all(clusters.map(shown));
    });
    const [ofMain, ofBilling, ofNone] = await Promise.all(
      ['main', 'billing', 'none'].map(async (path) => cookiesOf(await fetch(`${url}${path}`))),
    );
    expect(Object.keys(ofMain ?? {})).toEqual(['pg-ladder']);
    expect(Object.keys(ofBilling ?? {})).toEqual(['pg-ladder-billing']);
    expect(ofNone).toEqual({});
    expect(orderOf(ofMain?.['pg-ladder'] ?? '')?.clusterId).toBe(idOf(main));
    expect(orderOf(ofBilling?.['pg-ladder-billing'] ?? '')?.clusterId).toBe(idOf(billing));
  });

  it('are found in whichever cookie or header their token comes, also where the list has another order', async () => {
    const url = await serve(async ({ method }) => {
      if (method === 'POST') await Promise.all(clusters.map((cluster) => save(cluster, 'crossed')));
      return Promise.all(clusters.map(shown));
    });
    const turned = await serve(async () => Promise.all(clusters.map(shown)), httpSessions([billing, main]));
    const own = await serve(async () => shown(billing), httpSessions(billing));
    await pauseAll();
    const set = cookiesOf(await fetch(url, { method: 'POST' }));
    const cookie = Object.entries(set)
      .map(([name, value]) => `${name}=${value}`)
      .join('; ');
    expect(await (await fetch(turned, { headers: { cookie } })).json()).toEqual(['crossed', 'crossed']);
    expect(await (await fetch(own, { headers: { cookie } })).json()).toBe('crossed');
    const header = Object.values(set).join('.');
    expect(await (await fetch(turned, { headers: { 'pg-ladder-token': header } })).json()).toEqual([
      'crossed',
      'crossed',
    ]);
  });

  it('travel to other services and back in one header', async () => {
    const url = await serve(async () => {
      await Promise.all(clusters.map((cluster) => save(cluster, 'by a service')));
    });
    const told = sessionFetch(clusters, { origins: [new URL(url).origin] });
    await pauseAll();
    const seen = await jointSession(
      clusters,
      async () => {
        await told(url);
        return Promise.all(clusters.map(shown));
      },
      alone,
    );
    expect(seen).toEqual(['by a service', 'by a service']);
  });

  it('are kept side by side under one key of a TokenStore', async () => {
    const options = { cookie: false, store: memoryTokenStore(), storeKey: () => 'ada' } as const;
    const url = await serve(
      async ({ url }) => {
        if (url === '/main') await save(main, 'stored');
        if (url === '/billing') await save(billing, 'stored');
        return Promise.all(clusters.map(shown));
      },
      httpSessions(clusters, options),
    );
    await pauseAll();
    for (const path of ['main', 'billing']) await fetch(`${url}${path}`);
    expect(await (await fetch(url)).json()).toEqual(['stored', 'stored']);
  });

  it('go out beside each other where each is mounted by itself', async () => {
    const app = express();
    for (const cluster of clusters) app.use(sessionMiddleware(cluster));
    app.use(async (_request, response) => {
      await Promise.all(clusters.map((cluster) => save(cluster, 'side by side')));
      response.json(null);
    });
    const url = await listen(createServer(app));
    expect(Object.keys(cookiesOf(await fetch(url))).sort()).toEqual(['pg-ladder', 'pg-ladder-billing']);
  });

  it('hold no read of one cluster where the position of the other was late, in version 3', async () => {
    const named = (index: number, tokenVersion: 2 | 3) =>
      open(servers[index] as TestCluster, { name: `own-${index}-${tokenVersion}`, tokenVersion });
    for (const [version, roles] of [
      [2, ['primary', 'primary']],
      [3, ['primary', 'replica']],
    ] as const) {
      const own = await Promise.all([named(0, version), named(1, version)]);
      // The first one's position cannot be had: its server hangs once the write is over.
      const sessions = httpSessions(own, { positionTimeoutMillis: 50 });
      const url = await serve(async ({ url }) => {
        if (url !== '/late') return undefined;
        await save(own[0] as Cluster, 'late');
        servers[0]?.primary.link.halfOpen();
        return undefined;
      }, sessions);
      const set = cookiesOf(await fetch(`${url}late`));
      servers[0]?.primary.link.restore();
      const seen: string[] = [];
      for (const cluster of own) cluster.events.on('route', ({ role }) => seen.push(role));
      const token = Object.values(set).join('.');
      for (const cluster of own) await jointSession(own, () => shown(cluster), { ...alone, token });
      expect(seen).toEqual(roles);
      await Promise.all(own.map((cluster) => cluster.close()));
    }
  });

  it('need names of their own, and are eight at most', () => {
    const refused = expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' });
    for (const list of [[], [main, main], Array.from({ length: 9 }, () => main)])
      expect(() => httpSessions(list)).toThrow(refused);
  });
});
