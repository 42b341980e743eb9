/** Sessions for Express 4 and 5. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clusters, listOf, nested } from '../clusters.js';
import { checkOptions, type SessionOptions } from '../options/calls.js';
import { carriedBy } from '../session/carried-session.js';
import { keepEventsWithin } from './events-within.js';
import { type HttpSessionOptions, httpSessions } from './sessions.js';

export {
  type CacheControlOptions,
  type CookieOptions,
  cacheControl,
  type HttpSessionOptions,
  type PerRequest,
} from './sessions.js';

/** Express' own types fit it, whatever their version. */
export type Middleware<Request> = (request: Request, response: ServerResponse, next: (error?: unknown) => void) => void;

/**
 * Runs each request in a session that starts from its token, and gives the token of what it wrote
 * back with the answer. Put it before whatever reads or writes.
 * @param clusters one, or a list: then each request has a session of each
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function sessionMiddleware<Request extends IncomingMessage = IncomingMessage>(
  clusters: Clusters,
  options: HttpSessionOptions<Request> = {},
): Middleware<Request> {
  const sessions = httpSessions(clusters, options);
  return (request, response, next) => {
    const running = sessions.run(request, response, () => next());
    if (running instanceof Promise) running.catch(next);
  };
}

/**
 * What single routes ask for beside that:
 * `app.get('/balance', routeSession(cluster, { consistency: 'strong' }), …)`.
 * @param options plain values: a function of the request is for `sessionMiddleware`
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function routeSession(
  clusters: Clusters,
  options: Pick<
    SessionOptions,
    'consistency' | 'maxStalenessMillis' | 'partitionKey' | 'priority' | 'cache' | 'freshness'
  >,
): Middleware<IncomingMessage> {
  checkOptions('session', options);
  const list = listOf(clusters);
  return (request, _response, next) =>
    nested(list, options, (sessions) => {
      keepEventsWithin(sessions.map(carriedBy), request);
      next();
    });
}
