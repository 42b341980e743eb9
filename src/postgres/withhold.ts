/**
 * Keeps a client checked out until the callback that works with it has ended. User code may call
 * `release` on it, as on any client of a pool, and the pool would give it to the next caller in
 * the middle of a transaction. It replaces pg-pool's per-checkout `release`, and nothing else.
 */
import type { PoolClient } from 'pg';

/** @returns puts `release` back, and says whether user code asked for the client to be closed */
export function withholdRelease(client: PoolClient): () => boolean {
  const release = Object.getOwnPropertyDescriptor(client, 'release');
  let isUnwanted = false;
  client.release = (destroy) => {
    isUnwanted ||= destroy !== undefined && destroy !== false;
  };
  return () => {
    if (release === undefined) Reflect.deleteProperty(client, 'release');
    else Object.defineProperty(client, 'release', release);
    return isUnwanted;
  };
}
