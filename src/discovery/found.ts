/** What all discoveries have in common: which hosts they believe, how many, each once; how they fail, and when they stop waiting. Sends nothing by itself. */

import { z } from 'zod';
import { Deadline } from '../deadline.js';
import { discoveryFailed } from '../errors.js';
import { label } from '../options/check.js';
import { MAX_SERVERS } from '../options/found-servers.js';
import { type NodeLabels, type NodeOptions, weight } from '../options/servers.js';
import { PRINTABLE } from '../printable.js';

/** What a discovery may say of all servers that it finds. */
export type CommonLabels = Omit<NodeLabels, 'name'>;

export const commonLabels = {
  weight: weight.optional(),
  zone: label.optional(),
  lane: z.boolean().optional(),
};
export const port = z.number().int().min(1).max(65_535);
/** pg takes a host that begins with a slash for the directory of a Unix socket: no outside source may name one. */
export const host = label
  .regex(/^[^\s/\\@,]+$/, 'expected the name or the address of a host')
  .regex(PRINTABLE, 'expected a host without control characters');
/** A question has most of what the cluster waits for an answer, 10 s. */
export const timeoutMillis = z.number().positive().max(10_000).default(2_000);

/** The servers, each place once. @throws when there are too many of them */
export function eachOnce(servers: readonly NodeOptions[], who: string): NodeOptions[] {
  const places = new Map<unknown, NodeOptions>();
  for (const server of servers) {
    const place = placeOf(server);
    if (!places.has(place)) places.set(place, server);
  }
  if (places.size <= MAX_SERVERS) return [...places.values()];
  throw discoveryFailed(`${who}: expected at most ${MAX_SERVERS} servers, got ${places.size}`);
}

function placeOf(server: NodeOptions): unknown {
  if (typeof server === 'string') return server;
  if ('pool' in server) return server.pool;
  return server.connectionString ?? `${server.host} ${server.port ?? ''}`;
}

/**
 * What `ask` says, if it does so in time and while somebody waits for it: also where it does not heed the signal that it is given, which aborts in the end in any
 * case, so that nothing goes on behind it.
 * @throws what `ask` does, or a LadderError whose message ends a sentence, such as `no answer within 2000 ms`
 */
export async function within<T>(
  millis: number,
  outer: AbortSignal,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new Deadline({
    millis,
    late: () => discoveryFailed(`no answer within ${millis} ms`),
    isIdle: true,
  });
  const giveUp = (): void => deadline.end(discoveryFailed('the answer is no longer waited for'));
  outer.addEventListener('abort', giveUp, { once: true });
  if (outer.aborted) giveUp();
  try {
    deadline.signal.throwIfAborted();
    return await deadline.race(ask(deadline.signal));
  } finally {
    outer.removeEventListener('abort', giveUp);
    giveUp();
  }
}
