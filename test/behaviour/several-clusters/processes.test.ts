import { CookieJar } from 'tough-cookie';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ReplayJitter, startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { type AppProcess, startApp } from '../app-process.js';
import { open, report, size } from '../fixture.js';
import type { AppConfig, Framework, Origins } from './app.js';

const PAIRS = size(60, 2_000);
const USERS = 8;
const NAMES = ['main', 'billing'];
const secrets = ['a secret that all the processes share'];

const start = (config: AppConfig) => startApp<Origins>(new URL('app.ts', import.meta.url), config);

describe('two clusters in each of two processes', () => {
  let servers: TestCluster[];
  let apps: AppProcess<Origins>[];
  let jitters: ReplayJitter[];

  beforeAll(async () => {
    servers = await Promise.all(NAMES.map(() => startTestCluster({ replicas: 1 })));
    const configs = await Promise.all(
      servers.map(async (own, index) => {
        const cluster = await open(own, { name: `set-up-${index}` });
        await cluster.write('create table names (id int primary key, name text not null)');
        await cluster.write("insert into names select id, 'new here' from generate_series(0, 99) as id");
        await own.replicas[0]?.waitForReplay();
        await cluster.close();
        return {
          name: NAMES[index] ?? '',
          primary: own.primary.connectionString,
          replicas: own.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
          secrets,
        };
      }),
    );
    apps = await Promise.all([0, 1].map(() => start({ clusters: configs })));
    const replicas = servers.flatMap((own) => own.replicas);
    jitters = await Promise.all(
      replicas.map((replica, index) => replica.jitterReplay({ maxMillis: 500, share: 0.5, seed: 21 + index })),
    );
  });
  afterAll(async () => {
    await Promise.all((jitters ?? []).map((jitter) => jitter.stop()));
    await Promise.all((apps ?? []).map((app) => app.stop()));
    await Promise.all((servers ?? []).map((own) => own.stop()));
  });

  it.each<Framework>(['express', 'fastify', 'http'])(
    'each user sees on the other process what they wrote to either cluster: %s',
    async (framework) => {
      const origins = apps.map((app) => app.said[framework]);
      let [turn, stale] = [0, 0];
      const user = async (id: number): Promise<void> => {
        const jar = new CookieJar();
        const known: Record<string, string> = {};
        const ask = async (method: 'GET' | 'POST', path: string): Promise<string[]> => {
          const origin = origins[turn++ % origins.length] as string;
          // One site behind a load balancer: the port is no part of a cookie's.
          const cookie = await jar.getCookieString('http://127.0.0.1/');
          const { headers, body } = await request(`${origin}${path}`, { method, headers: { cookie } });
          for (const set of [headers['set-cookie'] ?? []].flat()) await jar.setCookie(set, 'http://127.0.0.1/');
          return (await body.json()) as string[];
        };
        for (let i = 0; i < PAIRS / USERS; i++) {
          const name = `${framework} ${id} ${i}`;
          const only = i % 3 === 0 ? undefined : NAMES[i % 2];
          await ask('POST', `/?id=${id}&name=${encodeURIComponent(name)}${only === undefined ? '' : `&only=${only}`}`);
          for (const cluster of only === undefined ? NAMES : [only]) known[cluster] = name;
          const shown = await ask('GET', `/?id=${id}`);
          NAMES.forEach((cluster, index) => {
            if (known[cluster] !== undefined && shown[index] !== known[cluster]) stale++;
          });
        }
        const names = (await jar.getCookies('http://127.0.0.1/')).map(({ key }) => key);
        expect(names.sort()).toEqual(['pg-ladder', 'pg-ladder-billing']);
      };
      await Promise.all(Array.from({ length: USERS }, (_, id) => user(id)));
      report(framework, { pairs: PAIRS, stale });
      expect(stale).toBe(0);
    },
  );
});
