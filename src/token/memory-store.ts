/** A token store in the memory of one process. It never waits and never fails. */
import { mergedTokens } from './merge.js';
import type { TokenStore } from './store.js';

const MAX_KEYS = 100_000;

interface Kept {
  readonly token: string;
  readonly until: number;
}

/**
 * A {@link TokenStore} for an application that runs as one process, and for tests.
 * @param options.maxKeys how many keys it holds, default 100,000; the oldest make room for new ones
 */
export function memoryTokenStore(options: { maxKeys?: number } = {}): TokenStore {
  const { maxKeys = MAX_KEYS } = options;
  const kept = new Map<string, Kept>();
  return {
    async get(key) {
      const found = kept.get(key);
      if (found === undefined) return undefined;
      if (found.until > Date.now()) return found.token;
      kept.delete(key);
      return undefined;
    },
    async put(key, token, lifetimeMillis) {
      const now = Date.now();
      const before = kept.get(key);
      const lives = before !== undefined && before.until > now;
      const merged = mergedTokens(lives ? before.token : '', token, lifetimeMillis);
      if (merged === '') return;
      kept.delete(key);
      kept.set(key, { token: merged, until: Math.max(lives ? before.until : now, now + lifetimeMillis) });
      for (const oldest of kept.keys()) {
        if (kept.size <= maxKeys) break;
        kept.delete(oldest);
      }
    },
  };
}
