/** The clients of Redis that people have, for the tests of the cache, each as applications open it. */
import { Redis as Ioredis6, Cluster as IoredisCluster6 } from 'ioredis';
import { Redis as Ioredis5, Cluster as IoredisCluster5 } from 'ioredis-5';
import { createClient as createClient6, createClientPool, createCluster as createCluster6 } from 'redis';
import { createClient as createClient5, createCluster as createCluster5 } from 'redis-5';
import type { IoredisCacheClient, NodeRedisCacheClient } from '../../../src/cache/redis-store.js';

export type CacheClient = NodeRedisCacheClient | IoredisCacheClient;

export interface CacheConnection {
  readonly client: CacheClient;
  readonly close: () => void;
}

type Connect = (port: number) => Promise<CacheConnection>;

const silent = () => undefined;
const urlOf = (port: number) => `redis://127.0.0.1:${port}`;

export const connectNodeRedis: Connect = async (port) => {
  const client = createClient6({ url: urlOf(port) }).on('error', silent);
  await client.connect();
  return { client, close: () => client.destroy() };
};

export const connectIoredis: Connect = async (port) => {
  const client = new Ioredis6(port, '127.0.0.1').on('error', silent);
  await client.ping();
  return { client, close: () => client.disconnect() };
};

export const singles: [name: string, connect: Connect][] = [
  ['node-redis 6', connectNodeRedis],
  [
    'node-redis 5',
    async (port) => {
      const client = createClient5({ url: urlOf(port) }).on('error', silent);
      await client.connect();
      return { client, close: () => client.destroy() };
    },
  ],
  ['ioredis 6', connectIoredis],
  [
    'ioredis 5',
    async (port) => {
      const client = new Ioredis5(port, '127.0.0.1').on('error', silent);
      await client.ping();
      return { client, close: () => client.disconnect() };
    },
  ],
  [
    'a pool of node-redis 6',
    async (port) => {
      const client = createClientPool({ url: urlOf(port) }).on('error', silent);
      await client.connect();
      return { client, close: () => client.destroy() };
    },
  ],
  [
    'ioredis 6 that puts something before all keys, connects late and queues nothing',
    async (port) => {
      const options = { keyPrefix: 'app:', lazyConnect: true, enableOfflineQueue: false, autoResubscribe: false };
      const client = new Ioredis6(port, '127.0.0.1', options).on('error', silent);
      await client.connect();
      return { client, close: () => client.disconnect() };
    },
  ],
];

export const clusters: [name: string, connect: Connect][] = [
  [
    'a cluster of node-redis 6',
    async (port) => {
      const client = createCluster6({ rootNodes: [{ url: urlOf(port) }] }).on('error', silent);
      await client.connect();
      return { client, close: () => client.destroy() };
    },
  ],
  [
    'a cluster of node-redis 5',
    async (port) => {
      const client = createCluster5({ rootNodes: [{ url: urlOf(port) }] }).on('error', silent);
      await client.connect();
      return { client, close: () => client.destroy() };
    },
  ],
  [
    'a cluster of ioredis 6',
    async (port) => {
      const client = new IoredisCluster6([{ host: '127.0.0.1', port }]).on('error', silent);
      await client.get('any');
      return { client, close: () => client.disconnect() };
    },
  ],
  [
    'a cluster of ioredis 5',
    async (port) => {
      const client = new IoredisCluster5([{ host: '127.0.0.1', port }]).on('error', silent);
      await client.get('any');
      return { client, close: () => client.disconnect() };
    },
  ],
];
