/**
 * Sessions that travel with requests, for any framework. A request's session starts from the token
 * that came with it. Its response carries the token of what it wrote: as a cookie for browsers, as
 * a header for services. The other entries of this room build on this one.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clusters } from '../clusters.js';
import type { Session } from '../session/session.js';
import { HttpCarrier } from './carrier.js';
import type { HttpSessionOptions } from './options.js';

export type { Clusters } from '../clusters.js';
export { memoryTokenStore } from '../token/memory-store.js';
export { mergedTokens } from '../token/merge.js';
export { orderOf, type TokenOrder } from '../token/order.js';
export type { TokenStore } from '../token/store.js';
export { type CacheControlOptions, cacheControl } from './cache-control.js';
export type { CookieOptions, HttpSessionOptions, PerRequest } from './options.js';
export { type ServiceOptions, sessionFetch, sessionInterceptor } from './outgoing.js';
export {
  type EventStart,
  type OpenWatch,
  type SentState,
  type ServerSentEventsOptions,
  serverSentEvents,
  serverSentEventsResponse,
} from './server-sent-events.js';

export interface HttpSessions<Request extends IncomingMessage = IncomingMessage> {
  /**
   * Runs `fn` within the request's session. The response carries the session's token when it
   * leaves.
   * @returns what `fn` returns; a promise of it when a `store` has to be asked first
   */
  run<T>(request: Request, response: ServerResponse, fn: (session: Session) => T): T | Promise<Awaited<T>>;
  /** Like `run`, without a response, as for WebSocket upgrades: only the `store` gets the token. */
  runDetached<T>(request: Request, fn: (session: Session) => T): T | Promise<Awaited<T>>;
}

/**
 * Makes sessions for requests.
 * @param clusters one, or a list of up to eight: a request has a session of each then, and `fn` is
 * given the first one's; the others' are their `currentSession()`. Each has a cookie of its own, the
 * first under the usual name, the others with theirs behind it
 * @throws LadderError `LADDER_INVALID_OPTIONS`, also for cookies that clients could forge in
 * production: set `secrets` on the cluster
 */
export function httpSessions<Request extends IncomingMessage = IncomingMessage>(
  clusters: Clusters,
  options: HttpSessionOptions<Request> = {},
): HttpSessions<Request> {
  const carrier = new HttpCarrier<Request>(clusters, options);
  return {
    run: (request, response, fn) => carrier.run(request, response, fn),
    runDetached: (request, fn) => carrier.run(request, undefined, fn),
  };
}
