/** Sessions for Express 4 and 5. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Cluster } from '../cluster.js';
import { checkOptions, type SessionOptions } from '../options/calls.js';
import { carriedBy } from '../session/carried-session.js';
import { keepEventsWithin } from './events-within.js';
import { type HttpSessionOptions, httpSessions } from './sessions.js';

export type { CookieOptions, HttpSessionOptions, PerRequest } from './sessions.js';

/** Express' own types fit it, whatever their version. */
export type Middleware<Request> = (request: Request, response: ServerResponse, next: (error?: unknown) => void) => void;

/**
 * Runs each request in a session that starts from its token, and gives the token of what it wrote
 * back with the answer. Put it before whatever reads or writes.
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function sessionMiddleware<Request extends IncomingMessage = IncomingMessage>(
  cluster: Cluster,
  options: HttpSessionOptions<Request> = {},
): Middleware<Request> {
  const sessions = httpSessions(cluster, options);
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
  cluster: Cluster,
  options: Pick<SessionOptions, 'consistency' | 'maxStalenessMillis' | 'partitionKey' | 'priority'>,
): Middleware<IncomingMessage> {
  checkOptions('session', options);
  return (request, _response, next) =>
    cluster.session((session) => {
      keepEventsWithin(carriedBy(session), request);
      next();
    }, options);
}
