/** A relay on each client of Redis that people have: it passes on in order, and finds its way back. */

import { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { freePort } from '../../../bench/free-port.js';
import { type IoredisRelayClient, type NodeRedisRelayClient, redisRelay } from '../../../src/redis.js';
import { report, until } from '../../behaviour/fixture.js';
import { clusters, singles } from './cache-clients.js';
import { RedisServer } from './redis-server.js';

const binary = findBinary('redis-server');
if (binary === undefined) report('redis', { skipped: 'redis-server is not installed' });

type Client = NodeRedisRelayClient | IoredisRelayClient;
const withoutPool = singles.filter(([name]) => !name.startsWith('a pool'));

describe.skipIf(binary === undefined)('a relay on Redis', () => {
  let redis: RedisServer;
  let cluster: RedisServer;

  beforeAll(async () => {
    redis = await RedisServer.start(binary as string);
    cluster = await RedisServer.start(
      binary as string,
      ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
      await freePort(),
    );
    const admin = await createClient({ url: `redis://127.0.0.1:${cluster.port}` }).connect();
    await admin.sendCommand(['CLUSTER', 'ADDSLOTSRANGE', '0', '16383']);
    await until('the cluster is up', async () =>
      String(await admin.sendCommand(['CLUSTER', 'INFO'])).includes('cluster_state:ok'),
    );
    admin.destroy();
  });
  afterAll(async () => {
    await redis.stop();
    await cluster.stop();
  });

  it.each([
    ...withoutPool.map(([name, connect]) => [name, () => connect(redis.port)] as const),
    ...clusters.map(([name, connect]) => [name, () => connect(cluster.port)] as const),
  ])('passes messages on in their order: %s', async (_name, connect) => {
    const connection = await connect();
    const relay = redisRelay(connection.client as Client);
    const heard: string[] = [];
    const listening = relay.listen((message) => heard.push(message));
    await until('it hears', () => {
      relay.publish('begin');
      return heard.length > 0;
    });
    for (let i = 0; i < 200; i++) relay.publish(`message ${i}`);
    await until('all have come', () => heard.at(-1) === 'message 199');
    expect(heard.filter((text) => text !== 'begin')).toEqual(Array.from({ length: 200 }, (_, i) => `message ${i}`));
    const others: string[] = [];
    const other = relay.listen((message) => others.push(message));
    listening.close();
    await until('another one hears', () => {
      relay.publish('more');
      return others.length > 0;
    });
    other.close();
    expect(heard.at(-1)).toBe('message 199');
    connection.close();
  });

  it('opens another connection when nothing comes on the one that it has, for a client that gives up at once', async () => {
    const port = await freePort();
    const before = await RedisServer.start(binary as string, [], port);
    const silent = () => undefined;
    const client = createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: false } }).on(
      'error',
      silent,
    );
    await client.connect();
    const heard: string[] = [];
    const listening = redisRelay(client).listen((message) => heard.push(message));
    await before.stop();
    await using after = await RedisServer.start(binary as string, [], port);
    const other = await createClient({ url: `redis://127.0.0.1:${after.port}` }).connect();
    const relay = redisRelay(other);
    await until('it hears again', () => {
      relay.publish('again');
      return heard.includes('again');
    });
    listening.close();
    other.destroy();
  });
});
