/** What pg-ladder keeps in Redis, for several processes: sessions' tokens, and cached answers. */
export {
  type IoredisCacheClient,
  type NodeRedisCacheClient,
  type RedisCacheOptions,
  redisCache,
} from './cache/redis-store.js';
export { checkSharedStore } from './cache/store-conformance.js';
export type { IoredisClient, NodeRedisClient } from './redis-client.js';
export type {
  SharedChannel,
  SharedFound,
  SharedLease,
  SharedListener,
  SharedOrder,
  SharedStore,
  SharedSubscription,
  SharedTime,
} from './shared-store.js';
export { type RedisTokenStoreOptions, redisTokenStore, type TokenStore } from './token/redis-store.js';
