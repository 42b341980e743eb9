// pg-ladder/discovery: what finds servers out. The public surface, nothing else.
export type { Discovery, DiscoveryContext, NodeAnswer } from '../options/discovery.js';
export { type DnsDiscoveryOptions, dnsDiscovery } from './dns.js';
export { type FetchLike, type FetchLikeResponse, type PatroniDiscoveryOptions, patroniDiscovery } from './patroni.js';
export { type ReplicationDiscoveryOptions, replicationDiscovery, type WalReceiver } from './replication.js';
