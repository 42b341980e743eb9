/** What pg-ladder does in Redis, for several processes: tokens, cached answers, and changes. */
export {
  type IoredisCacheClient,
  type NodeRedisCacheClient,
  type RedisCacheOptions,
  redisCache,
} from './cache/redis-store.js';
export { checkSharedStore } from './cache/store-conformance.js';
export type { ChangeRelay, RelayListening } from './change-relay.js';
export {
  type IoredisRelayClient,
  type NodeRedisRelayClient,
  type RedisRelayOptions,
  redisRelay,
} from './changes/redis-relay.js';
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
