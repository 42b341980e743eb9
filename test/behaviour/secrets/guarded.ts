/** Servers behind TLS and a password, and the secrets that nothing may print. */
import { createPrivateKey } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { chmod, chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { generate } from 'selfsigned';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type Cluster, createCluster } from '../../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import type { Canaries } from '../canaries.js';
import { until } from '../fixture.js';

export const PASSWORD = 'canaryOfThePassword';

export const KEY = 'canaryOfTheFirstKeyOfTheRing';

const OLD_KEY = 'canaryOfTheSecondKeyOfTheRing';

export const VALUE = 'canaryOfAValue';

export const SUBJECT = 'canaryOfTheSubject';

const PASSPHRASE = 'canaryOfThePassphrase';

export const HEADER = 'canaryOfAHeader';

export const LOGIN = 'canaryOfALogin';

export const REDIS = 'redis://app:canaryOfRedis@cache:6379';

export const WORDS = 'canaryOfSomebodyElsesWords';

export const secrets: Canaries = {
  password: PASSWORD,
  'key ring': KEY,
  'old key': OLD_KEY,
  value: VALUE,
  subject: SUBJECT,
  header: HEADER,
  login: LOGIN,
  redis: 'canaryOfRedis',
  'words of others': WORDS,
};

/** What pg itself has in plain sight in its options, its clients and their sockets: that is not printed, and stays to be found by who walks there. */
export const ofTls: Canaries = { passphrase: PASSPHRASE };

/** Has the server take the role `app` by its password over TLS alone. */
async function guard(node: TestNode, { cert, private: key }: { cert: string; private: string }): Promise<void> {
  const directory = (await query(node, 'show data_directory')) as string;
  const { uid, gid } = await stat(directory);
  const hba = [
    'host all app all reject',
    'host all all all trust',
    'local all all trust',
    'host replication all all trust',
  ];
  for (const [file, text] of [
    ['server.crt', cert],
    ['server.key', key],
    ['pg_hba.conf', ['hostssl all app all scram-sha-256', ...hba, ''].join('\n')],
  ] as const) {
    const path = join(directory, file);
    await writeFile(path, text, { mode: 0o600 });
    await chmod(path, 0o600);
    await chown(path, uid, gid);
  }
  await writeFile(join(directory, 'postgresql.auto.conf'), '\nssl = on\n', { flag: 'a' });
  await query(node, 'select pg_reload_conf()');
}

export let servers: TestCluster;

export let ssl: () => pg.PoolConfig['ssl'] & object;

export let closers: (() => unknown)[];

export const given: pg.Pool[] = [];

export const urlOf = ({ host, port }: TestNode) => `postgres://app:${PASSWORD}@${host}:${port}/postgres`;

export const placeOf = ({ host, port }: TestNode) => ({ host, port, user: 'app', database: 'postgres' });

export const behaviour = { secrets: [KEY, OLD_KEY], tokenLifetimeMillis: 20_000, hangMillis: 2_000 };

export const ways: Record<string, () => Cluster> = {
  'one URL': () => {
    const hosts = servers.nodes.map(({ host, port }) => `${host}:${port}`).join(',');
    return createCluster(`postgres://app:${PASSWORD}@${hosts}/postgres?sslmode=no-verify`, behaviour);
  },
  'connection strings': () => {
    const [primary, ...replicas] = servers.nodes.map((node) => ({ connectionString: urlOf(node), ssl: ssl() }));
    return createCluster({ primary: primary as pg.PoolConfig, replicas, ...behaviour });
  },
  'pg’s options': () => {
    const [primary, ...replicas] = servers.nodes.map((node) => ({
      ...placeOf(node),
      password: PASSWORD,
      ssl: ssl(),
      servername: '127.0.0.1',
    }));
    return createCluster({ primary: primary as pg.PoolConfig, replicas, ...behaviour, discovery: async () => [] });
  },
  'functions for the password': () => {
    const password = async () => PASSWORD;
    const [primary, ...replicas] = servers.nodes.map((node) => ({ ...placeOf(node), password, ssl: ssl() }));
    return createCluster({ primary: primary as pg.PoolConfig, replicas, ...behaviour });
  },
  'pools of your own': () => {
    const pools = servers.nodes.map((node) => new pg.Pool({ connectionString: urlOf(node), ssl: ssl(), max: 5 }));
    given.push(...pools);
    const [primary, ...replicas] = pools.map((pool) => ({ pool, lane: true }));
    return createCluster({ primary: primary as { pool: pg.Pool }, replicas, ...behaviour });
  },
};

export async function opened(way = 'connection strings'): Promise<Cluster> {
  const cluster = ways[way]?.() as Cluster;
  closers.push(() => cluster.close());
  await cluster.ready();
  await until('all nodes are live', () => cluster.stats().nodes.every(({ state }) => state === 'live'));
  return cluster;
}

/** Everything that the cluster tells by events, from now on. */
export function listened(cluster: Cluster): unknown[] {
  const told: unknown[] = [];
  const names = ['route', 'query', 'node', 'topology', 'membership', 'tokenLost', 'warning'] as const;
  const hear = (event: unknown): void => void told.push(event);
  for (const name of names) {
    cluster.events.on(name, hear);
    subscribe(`pg-ladder:${name}`, hear);
    closers.push(() => unsubscribe(`pg-ladder:${name}`, hear));
  }
  return told;
}

/** Starts the servers once a file. */
export function guardsServers(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    await query(servers.primary, `create role app login password '${PASSWORD}'`);
    await query(servers.primary, 'create table items as select 1 as id, text $$none$$ as name');
    await query(servers.primary, 'grant all on items to app');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const pems = await generate([{ name: 'commonName', value: 'db.test' }], { keyType: 'ec' });
    const key = createPrivateKey(pems.private)
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE })
      .toString();
    ssl = () => ({ rejectUnauthorized: false, cert: pems.cert, key, passphrase: PASSPHRASE });
    for (const node of servers.nodes) await guard(node, pems);
    closers = [];
  });
  afterAll(async () => {
    await Promise.all(given.map((pool) => pool.end()));
    await servers.stop();
  });
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    closers = [];
  });
}
