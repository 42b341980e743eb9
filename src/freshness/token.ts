/**
 * The string that carries a position between requests, processes and services. It is read as a stranger's: fixed length
 * first, then fixed alphabet, and what does not fit is no token rather than an error.
 */
import type { Position } from './position.js';

const VERSION = '1';
const TOKEN = /^1([0-9a-f]{16})([0-9a-f]{8})([0-9a-f]{16})$/;

/** Characters in a token: a version, then cluster id, timeline and LSN in hexadecimal. Safe in headers, cookies and URLs. */
export const TOKEN_LENGTH = 41;

export function encodeToken(position: Position): string {
  return (
    VERSION +
    BigInt(position.clusterId).toString(16).padStart(16, '0') +
    position.timeline.toString(16).padStart(8, '0') +
    position.lsn.toString(16).padStart(16, '0')
  );
}

/** The position in a token; `undefined` for anything that `encodeToken` cannot have made. */
export function decodeToken(token: unknown): Position | undefined {
  if (typeof token !== 'string' || token.length !== TOKEN_LENGTH) return undefined;
  const [, clusterId, timeline, lsn] = TOKEN.exec(token) ?? [];
  if (clusterId === undefined || timeline === undefined || lsn === undefined) return undefined;
  return {
    clusterId: BigInt(`0x${clusterId}`).toString(),
    timeline: Number.parseInt(timeline, 16),
    lsn: BigInt(`0x${lsn}`),
  };
}
