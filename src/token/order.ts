/**
 * The order of tokens, read from their text alone: cluster, timeline, LSN and age. It checks no
 * signature: any client may have written the text.
 */

/** A token's position: the timeline and the two halves of the LSN, each below 2^32. */
export interface TokenOrder {
  /** Whether it has no position, and sends its client's reads to the primary instead. */
  readonly isPrimaryOnly: boolean;
  /**
   * The system identifier in 16 hexadecimal digits. All zero in a primary-only token for all
   * clusters.
   */
  readonly clusterId: string;
  readonly timeline: number;
  readonly high: number;
  readonly low: number;
  /** Epoch milliseconds. */
  readonly issuedAt: number;
}

/** A system identifier, an unsigned 64-bit number in decimal, as tokens have it. */
export function clusterInToken(clusterId: string): string {
  return BigInt(clusterId).toString(16).padStart(16, '0');
}

/** In the place of a cluster's identifier. */
export const ALL_CLUSTERS = '0'.repeat(16);

/** Separates tokens in one text; no token contains it. */
export const SEPARATOR = '.';

const TOKEN = /^[23]([0-9a-f]{16})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{11})(?:[\w-]{43})?$/;

/** @returns what the text of a token says; `undefined` for any other text */
export function orderOf(token: string): TokenOrder | undefined {
  if (typeof token !== 'string') return undefined;
  const [, clusterId, ...parts] = TOKEN.exec(token) ?? [];
  if (clusterId === undefined) return undefined;
  const [timeline = 0, high = 0, low = 0, issuedAt = 0] = parts.map((hex) => Number.parseInt(hex, 16));
  return { isPrimaryOnly: timeline === 0, clusterId, timeline, high, low, issuedAt };
}

/**
 * Of two tokens of one cluster: below zero if `a` is the older one. Of equal positions the token
 * that was issued later is newer.
 */
export function compareOrder(a: TokenOrder, b: TokenOrder): number {
  return a.timeline - b.timeline || a.high - b.high || a.low - b.low || a.issuedAt - b.issuedAt;
}
