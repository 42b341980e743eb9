/**
 * Whoever is handed a client to work with may release it, as he does with those of a pool. The pool would hand it on at once, in the middle of his transaction: so it is
 * given back when his work is over, and not before. It takes pg-pool's own per-checkout `release` away for as long, and nothing else.
 */
import type { PoolClient } from 'pg';

/** @returns ends it; whether the client shall not be used any more, as whoever released it has said */
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
