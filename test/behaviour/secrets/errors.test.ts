import { inspect } from 'node:util';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { dnsDiscovery, patroniDiscovery } from '../../../src/discovery/index.js';
import { httpSessions, sessionFetch } from '../../../src/http/sessions.js';
import { createCluster, type LadderError } from '../../../src/index.js';
import type { TestNode } from '../../../src/testing/index.js';
import { redisTokenStore } from '../../../src/token/redis-store.js';
import { query } from '../../testing/query.js';
import { found } from '../canaries.js';
import { startPatroniServer } from '../discovery-servers.js';
import { until } from '../fixture.js';
import {
  behaviour,
  closers,
  guardsServers,
  HEADER,
  KEY,
  LOGIN,
  listened,
  ofTls,
  opened,
  PASSWORD,
  placeOf,
  REDIS,
  SUBJECT,
  secrets,
  servers,
  ssl,
  urlOf,
  VALUE,
  WORDS,
} from './guarded.js';

guardsServers();

describe('what a program logs', () => {
  describe('of errors and events', () => {
    it('when a password is wrong holds none', async () => {
      const wrong = `${PASSWORD}AndWrong`;
      const [primary, ...replicas] = servers.nodes.map((node) => ({ ...placeOf(node), password: wrong, ssl: ssl() }));
      const cluster = createCluster({
        primary: primary as pg.PoolConfig,
        replicas,
        ...behaviour,
        hangMillis: 500,
        primaryWaitMillis: 100,
      });
      closers.push(() => cluster.close());
      const told = listened(cluster);
      const errors = await Promise.all([
        cluster.ready({ timeoutMillis: 300 }).catch((error: unknown) => error),
        cluster.read('select $1', [VALUE]).catch((error: unknown) => error),
        cluster.write('select $1', [VALUE], { timeoutMillis: 200 }).catch((error: unknown) => error),
        cluster
          .pool()
          .query('select $1', [VALUE])
          .catch((error: unknown) => error),
      ]);
      expect(errors.every((error) => error instanceof Error)).toBe(true);
      expect(found([errors, told, cluster.stats()], { ...secrets, ...ofTls })).toEqual([]);
      expect(JSON.stringify(errors[0])).toContain('node \\"primary\\"');
    });

    it('when a password cannot be had, or TLS fails, has nothing of what others said', async () => {
      const broken = {
        ...ssl(),
        checkServerIdentity: () => new Error(WORDS),
        rejectUnauthorized: true,
        ca: ssl().cert as string,
      };
      const password = async () => {
        throw new Error(WORDS);
      };
      const [primary, replica] = servers.nodes as [TestNode, TestNode];
      const cluster = createCluster({
        primary: { ...placeOf(primary), password, ssl: ssl() },
        replicas: [{ ...placeOf(replica), password: PASSWORD, ssl: broken }],
        ...behaviour,
      });
      closers.push(() => cluster.close());
      const told = listened(cluster);
      await cluster.ready({ timeoutMillis: 300 }).catch(() => undefined);
      await until('both are out', () => cluster.stats().nodes.every(({ problem }) => problem !== undefined));
      await until('one is ejected', () => cluster.stats().nodes.some(({ state }) => state === 'ejected'));
      expect(found([told, cluster.stats()], { ...secrets, ...ofTls })).toEqual([]);
    });

    it('when statements fail, are given up or end in doubt holds no value and no secret', async () => {
      const cluster = await opened();
      const told = listened(cluster);
      const sleep = 'select pg_catalog.pg_sleep(5), $1::text';
      const sleepers =
        "select count(*)::int from pg_stat_activity where state = 'active' and query like 'update%sleep%'";
      const giveUp = new AbortController();
      const errors = await cluster.session(() => {
        const writing = cluster.write('update items set name = $1 || pg_catalog.pg_sleep(60)::text', [VALUE], {
          signal: giveUp.signal,
        });
        const isSent = async () => (await query(servers.primary, sleepers)) === 1;
        void until('the write is under way', isSent).finally(() => giveUp.abort());
        return Promise.all(
          [
            writing,
            cluster.read(sleep, [VALUE], { timeoutMillis: 50 }),
            cluster.transaction(async (client) => {
              await client.query('select 1 / $1::int', [0]).catch(() => undefined);
            }),
            cluster.transaction((client) => client.query(sleep, [VALUE]), { timeoutMillis: 50 }),
            cluster.stream(sleep, [VALUE], { timeoutMillis: 50 }).next(),
            cluster.read('select 1', [], { target: { node: urlOf(servers.primary) } }),
            cluster.read('select 1', [], { consistency: REDIS as 'strong', [REDIS]: 1 } as object),
          ].map((running) => Promise.resolve(running).catch((error: unknown) => error)),
        );
      });
      expect(errors.map((error) => (error as LadderError).code)).toEqual([
        'LADDER_WRITE_OUTCOME_UNKNOWN',
        'LADDER_TIMEOUT',
        'LADDER_TRANSACTION_ABORTED',
        'LADDER_TIMEOUT',
        'LADDER_TIMEOUT',
        'LADDER_INVALID_OPTIONS',
        'LADDER_INVALID_OPTIONS',
      ]);
      expect(found([errors, told, cluster.stats()], { ...secrets, ...ofTls })).toEqual([]);
    });

    it('when options are wrong holds none of them', () => {
      const url = `postgres://app:${PASSWORD}@first`;
      const { primary } = { primary: { host: 'first', password: PASSWORD } };
      const wrong: (() => unknown)[] = [
        () => createCluster(`mysql://app:${PASSWORD}@first/postgres`),
        () => createCluster(`postgres://app:${PASSWORD}/x@first/postgres`),
        () => createCluster(url, { secrets: [KEY.slice(0, 15)] }),
        () => createCluster({ primary: `${url}:port/postgres` }),
        () => createCluster({ primary: { connectionString: `app:${PASSWORD}@first` } }),
        () => createCluster({ primary: { host: `app:${PASSWORD}@first` } }),
        () => createCluster({ primary: { ...primary, port: PASSWORD as unknown as number } }),
        () => createCluster({ primary: { ...primary, name: url } }),
        () => createCluster({ primary: { ...primary, zone: { PASSWORD } as unknown as string } }),
        () => createCluster({ primary, secrets: KEY as unknown as string[] }),
        () => createCluster({ primary, replicas: [primary, { ...primary, weight: PASSWORD as unknown as number }] }),
        () => createCluster({ primary, [url]: true } as never),
        () => createCluster({ primary, consistency: PASSWORD as 'strong' }),
        () => createCluster({ primary, readOnlyFunctions: [PASSWORD] }),
        () => patroniDiscovery({ urls: [`ftp://app:${LOGIN}@first`] }),
        () => patroniDiscovery({ urls: ['http://first'], headers: { authorization: [HEADER] as unknown as string } }),
        () => dnsDiscovery({ hostname: `app:${LOGIN}@first` }),
        () => dnsDiscovery({ hostname: 'first', servers: [`app:${LOGIN}@first`] }),
        () => redisTokenStore({ url: REDIS } as never),
        () => redisTokenStore({ url: REDIS, eval: null, evalSha: null } as never, { prefix: { REDIS } } as never),
      ];
      const errors = wrong.map((make) => {
        try {
          return make();
        } catch (error) {
          return error;
        }
      });
      expect(errors.map((error) => (error as Partial<LadderError>).code)).toEqual(
        wrong.map(() => 'LADDER_INVALID_OPTIONS'),
      );
      expect(errors.map((error) => found(error, secrets))).toEqual(wrong.map(() => []));
      expect(errors.map((error) => (error as Error).message).join()).not.toContain('canary');
    });

    it('when origins of services are wrong holds no login and no query of them', async () => {
      const cluster = await opened();
      const origins = [`http://app:${LOGIN}@first`, `http://first/?token=${LOGIN}`, `app:${LOGIN}@first`];
      const errors = origins.map((origin) => {
        try {
          return sessionFetch(cluster, { origins: [origin] });
        } catch (error) {
          return error;
        }
      });
      expect(errors.map((error) => (error as LadderError).code)).toEqual(origins.map(() => 'LADDER_INVALID_OPTIONS'));
      expect(errors.map((error) => found(error, secrets))).toEqual([[], [], []]);
    });

    it('when a store or a discovery fails has nothing of what it said', async () => {
      const failing = () => Promise.reject(Object.assign(new Error(`${WORDS} ${REDIS}`), { [REDIS]: REDIS }));
      await using patroni = await startPatroniServer();
      const [primary] = servers.nodes as [TestNode, TestNode];
      const url = patroni.url.replace('http://', `http://app:${LOGIN}@`);
      const discovery = patroniDiscovery({ urls: [url], headers: { authorization: HEADER } });
      const cluster = createCluster({
        primary: { ...placeOf(primary), password: PASSWORD, ssl: ssl() },
        ...behaviour,
        discovery,
      });
      closers.push(() => cluster.close());
      const told = listened(cluster);
      const context = { signal: new AbortController().signal, ask: () => Promise.reject(new Error('nobody')) };
      const error = await Promise.resolve(discovery(context)).catch((reason: unknown) => reason);
      const sessions = httpSessions(cluster, { store: { get: failing, put: failing }, storeKey: () => SUBJECT });
      await sessions.runDetached({ headers: {}, method: 'GET' } as never, () =>
        cluster.write('insert into items values (2, $1)', [VALUE]),
      );
      await until('both are told', () => {
        const messages = told.map((event) => (event as { message?: string }).message ?? '');
        return messages.some((text) => text.includes('discovery')) && messages.some((text) => text.includes('stored'));
      });
      const unknown = `ERR unknown command 'EVALSHA', with args beginning with: '1' '${SUBJECT}' (${REDIS})`;
      const client = { eval: failing, evalSha: () => Promise.reject(new Error(unknown)) };
      const lost = { ...client, evalSha: () => Promise.reject(new Error(`connect ECONNREFUSED ${REDIS}`)) };
      const ofRedis = [client, lost].map((one) =>
        redisTokenStore(one)
          .get(SUBJECT)
          .catch((reason: unknown) => reason),
      );
      expect((await Promise.all(ofRedis)).map((reason) => (reason as Error).message)).toEqual([
        "token store: ERR unknown command 'EVALSHA'",
        'token store: connect ECONNREFUSED redis://…@cache:6379',
      ]);
      expect(error).toMatchObject({ code: 'LADDER_DISCOVERY_FAILED' });
      // what others said is a property of the warning, for who asks by its name
      expect(
        found([discovery, error, told, cluster.stats()], { ...secrets, ...ofTls }, ['text', 'json', 'walk']),
      ).toEqual([]);
      expect(inspect([error, told], { depth: 10 })).not.toMatch(/canary/);
    });
  });
});
