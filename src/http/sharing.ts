/**
 * The last look at an answer that caches were told to keep, when its head leaves: what came since
 * then, or stands in its request, may forbid to share it. What it leaves to caches varies by the
 * token, so that they let other requests pass.
 */
import type { IncomingMessage } from 'node:http';
import type { CarriedSession } from '../session/carried-session.js';
import type { CarrierTools } from '../session/runner.js';
import { forbidSharing, mayBeShared } from './caching.js';
import type { ResponseHead } from './response-head.js';

/** For an answer that was to be shared, and must not be. */
export const PRIVATE = 'private, no-store';

/** How one cluster's token comes and goes. */
export interface Carriage {
  readonly session: Pick<CarriedSession, 'notes' | 'hasWritten' | 'hasReadOn'>;
  readonly tools: Pick<CarrierTools, 'warnOnce'>;
  /** The token's header, in small letters. */
  readonly header: string | undefined;
  readonly hasCookie: boolean;
  /** Whether the answer takes a token along. */
  readonly isLeaving: boolean;
}

/** Whether caches were told anything of an answer. */
export function isTold(session: Pick<CarriedSession, 'notes'>): boolean {
  return session.notes?.isTold === true;
}

/** @param carriages of all clusters that the answer's request has sessions with */
export function settleSharing(
  head: ResponseHead,
  request: Pick<IncomingMessage, 'headers' | 'method'>,
  carriages: readonly Carriage[],
): void {
  const isPublished = carriages.some(({ session }) => session.notes?.isPublished === true);
  if (isPublished && mayBeShared(head, request.method)) {
    const because = obstacleIn(head, request, carriages);
    if (because !== undefined) {
      head.set('cache-control', PRIVATE);
      forbidSharing(head);
      for (const name of ['surrogate-key', 'cache-tag']) head.delete(name);
      const [first] = carriages;
      if (first !== undefined) warnNotPublic(first.tools, because);
      return;
    }
  }
  varyBy(head, carriages);
}

export function warnNotPublic({ warnOnce }: Pick<CarrierTools, 'warnOnce'>, because: string): void {
  warnOnce({ code: 'not-public', message: `a response with public: true stays private: ${because}` });
}

/** Why it is its receiver's alone, in words. */
function obstacleIn(
  head: ResponseHead,
  { headers }: Pick<IncomingMessage, 'headers'>,
  carriages: readonly Carriage[],
): string | undefined {
  if (headers.authorization !== undefined) return 'its request has Authorization';
  if (carriages.some(({ session }) => session.hasWritten)) return 'its request wrote, or was told of a write';
  if (carriages.some(({ isLeaving }) => isLeaving)) return 'it carries a token';
  if (head.get('set-cookie') !== undefined) return 'it sets a cookie';
  if (carriages.some(({ session }) => session.hasReadOn))
    return 'its request read after cacheControl was called, or in a session that it was not told of';
  if (carriages.some(({ header, hasCookie }) => header === undefined && !hasCookie))
    return 'tokens come in no header and no cookie, so that a cache could not tell who has one';
  return head.statusCode >= 500 ? 'it tells of a failure' : undefined;
}

function varyBy(head: ResponseHead, carriages: readonly Carriage[]): void {
  const before = head.get('vary') ?? '';
  const names = new Map(
    before
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '')
      .map((name) => [name.toLowerCase(), name]),
  );
  if (names.has('*')) return;
  for (const { header, hasCookie } of carriages) {
    if (hasCookie && !names.has('cookie')) names.set('cookie', 'Cookie');
    if (header !== undefined && !names.has(header)) names.set(header, header);
  }
  if (names.size > 0) head.set('vary', [...names.values()].join(', '));
}
