/**
 * The order of tokens, read from their text alone: cluster, timeline, LSN and age. It checks no
 * signature: any client may have written the text.
 */

/** A token's position: the timeline and the two halves of the LSN, each below 2^32. */
export interface TokenOrder {
  /** Whether it has no position, and sends its client's reads to the primary instead. */
  readonly isPrimaryOnly: boolean;
  /** The system identifier in 16 hexadecimal digits. */
  readonly clusterId: string;
  readonly timeline: number;
  readonly high: number;
  readonly low: number;
  /** Epoch milliseconds. */
  readonly issuedAt: number;
}

/** Separates two tokens in one text; no token contains it. */
export const SEPARATOR = '.';

const TOKEN = /^2([0-9a-f]{16})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{11})(?:[\w-]{43})?$/;

/** @returns what the text of a token says; `undefined` for any other text */
export function orderOf(token: string): TokenOrder | undefined {
  if (typeof token !== 'string') return undefined;
  const [, clusterId, ...parts] = TOKEN.exec(token) ?? [];
  if (clusterId === undefined) return undefined;
  const [timeline = 0, high = 0, low = 0, issuedAt = 0] = parts.map((hex) => Number.parseInt(hex, 16));
  return { isPrimaryOnly: timeline === 0, clusterId, timeline, high, low, issuedAt };
}

/**
 * Below zero if `a` is the older one. Of equal positions the token that was issued later is newer.
 * So it is with two clusters: one has replaced the other.
 */
export function compareOrder(a: TokenOrder, b: TokenOrder): number {
  if (a.clusterId !== b.clusterId) return a.issuedAt - b.issuedAt;
  return a.timeline - b.timeline || a.high - b.high || a.low - b.low || a.issuedAt - b.issuedAt;
}
