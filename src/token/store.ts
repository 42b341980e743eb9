/** Tokens on the server's side, by whom they belong to: for clients that keep neither cookies nor headers, and for writes that come after an answer's head. */

export interface TokenStore {
  /** What has been kept for that key, one token or two with a dot between them; `undefined` when there is nothing, or it has expired. Rejects when it cannot be told. */
  get(key: string): Promise<string | undefined>;
  /**
   * Adds a token to what is kept: the highest position wins, see `mergedTokens`. Rejects when it cannot be kept.
   * @param lifetimeMillis above 0
   */
  put(key: string, token: string, lifetimeMillis: number): Promise<void>;
}

/** Of a process's own store: what is beyond goes, the oldest first. */
const MAX_KEYS = 100_000;

interface Kept {
  readonly token: string;
  readonly until: number;
}

/** A store in this process: for one process, and for tests. Holds at most `maxKeys`, default 100,000; the oldest make room. */
export function memoryTokenStore({ maxKeys = MAX_KEYS }: { maxKeys?: number } = {}): TokenStore {
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

/** Where a position stands: the timeline and the two halves of the LSN, each below 2^32, and when its token was made. */
export interface TokenOrder {
  /** Whether it says no position, and keeps its bearer on the primary instead. */
  readonly isPrimaryOnly: boolean;
  /** Of the system identifier, 16 hexadecimal digits. */
  readonly clusterId: string;
  readonly timeline: number;
  readonly high: number;
  readonly low: number;
  /** Epoch milliseconds. */
  readonly issuedAt: number;
}

/** Between two tokens that stand beside each other: no token has it. */
export const SEPARATOR = '.';

const TOKEN = /^2([0-9a-f]{16})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{11})(?:[\w-]{43})?$/;

/** As far as its text says, which nobody has checked; `undefined` for what is no token. */
export function orderOf(token: string): TokenOrder | undefined {
  if (typeof token !== 'string') return undefined;
  const [, clusterId, ...parts] = TOKEN.exec(token) ?? [];
  if (clusterId === undefined) return undefined;
  const [timeline = 0, high = 0, low = 0, issuedAt = 0] = parts.map((hex) => Number.parseInt(hex, 16));
  return { isPrimaryOnly: timeline === 0, clusterId, timeline, high, low, issuedAt };
}

/**
 * What both say: the highest position, and beside it the latest word that some write has none.
 * @param lifetimeMillis after which such a word is no more heard; default: never
 */
export function mergedTokens(a: string, b: string, lifetimeMillis = Number.POSITIVE_INFINITY): string {
  const texts = [a, b].filter((text) => typeof text === 'string');
  const tokens = texts
    .flatMap((text) => text.split(SEPARATOR))
    .flatMap((token) => {
      const order = orderOf(token);
      return order === undefined ? [] : [{ token, order }];
    });
  const newest = (isPrimaryOnly: boolean): string[] => {
    const [first, ...others] = tokens.filter(({ order }) => order.isPrimaryOnly === isPrimaryOnly);
    if (first === undefined) return [];
    return [others.reduce((best, one) => (compareOrder(one.order, best.order) >= 0 ? one : best), first).token];
  };
  const now = Math.max(...tokens.map(({ order }) => order.issuedAt));
  const marks = newest(true).filter((mark) => now - (orderOf(mark)?.issuedAt ?? 0) < lifetimeMillis);
  return [...marks, ...newest(false)].join(SEPARATOR);
}

/** Of two that stand alike the one that lives longer is the newer; so it is of two clusters, of which one took the other's place. */
function compareOrder(a: TokenOrder, b: TokenOrder): number {
  if (a.clusterId !== b.clusterId) return a.issuedAt - b.issuedAt;
  return a.timeline - b.timeline || a.high - b.high || a.low - b.low || a.issuedAt - b.issuedAt;
}
