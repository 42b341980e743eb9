/** Sessions for Fastify 4 and 5. */
import type { IncomingMessage } from 'node:http';
import type { FastifyPluginCallback, FastifyRequest } from 'fastify';
import type { Cluster } from '../cluster.js';
import { type Clusters, currentSessions, listOf, nested, withinAll } from '../clusters.js';
import { checkOptions, type SessionOptions } from '../options/calls.js';
import type { CarriedSession } from '../session/carried-session.js';
import type { Session } from '../session/session.js';
import { type CookieOptions, type HttpSessionOptions, type HttpSessions, httpSessions } from './sessions.js';

export {
  type CacheControlOptions,
  type CookieOptions,
  cacheControl,
  type HttpSessionOptions,
  type PerRequest,
} from './sessions.js';

export interface SessionPluginOptions extends HttpSessionOptions<FastifyRequest> {
  /** One, or a list: then each request has a session of each. */
  cluster: Clusters;
}

/**
 * What single routes ask for, in plain values:
 * `app.get('/balance', { config: { ladder: { consistency: 'strong' } } }, …)`.
 */
export type RouteSessionOptions = Pick<
  SessionOptions,
  'consistency' | 'maxStalenessMillis' | 'partitionKey' | 'priority' | 'cache' | 'freshness'
>;

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's session; of several clusters that of the first. */
    ladder: Session;
  }
  interface FastifyContextConfig {
    ladder?: RouteSessionOptions;
  }
}

/**
 * What Fastify knows of a request, it does not tell Node's. Not a WeakMap, which costs more than
 * all the rest.
 */
const REQUEST = Symbol('pg-ladder.request');
const SESSIONS = Symbol('pg-ladder.sessions');
type Raw = IncomingMessage & { [REQUEST]?: FastifyRequest; [SESSIONS]?: readonly CarriedSession[] };

/**
 * Runs each request in a session that starts from its token, and gives the token of what it wrote
 * back with the answer: `app.register(sessionPlugin, { cluster })`. It holds for the whole
 * application, also for what was registered before.
 */
export const sessionPlugin: FastifyPluginCallback<SessionPluginOptions> = (app, { cluster, ...options }, done) => {
  const asked = Object.entries(options).map(([name, value]) => {
    const isAsked = typeof value === 'function';
    const call = value as (request: unknown) => unknown;
    return [name, isAsked ? (raw: Raw) => call(raw[REQUEST]) : value];
  });
  const { cookie = {} } = options;
  let sessions: HttpSessions;
  let clusters: readonly Cluster[];
  try {
    clusters = listOf(cluster);
    sessions = httpSessions(cluster, {
      ...(Object.fromEntries(asked) as HttpSessionOptions),
      // As `trustProxy` has it.
      cookie: cookie === false ? false : { ...cookie, secure: (raw) => isSecure((raw as Raw)[REQUEST], cookie.secure) },
    });
  } catch (error) {
    done(error as Error);
    return;
  }
  app.decorateRequest('ladder', null as unknown as Session);
  app.addHook('onRoute', ({ config }) => {
    const { ladder } = (config ?? {}) as { ladder?: RouteSessionOptions };
    if (ladder !== undefined) checkOptions('session', ladder);
  });
  app.addHook('onRequest', (request, reply, next) => {
    (request.raw as Raw)[REQUEST] = request;
    const within = (session: Session): void => {
      request.ladder = session;
      (request.raw as Raw)[SESSIONS] = currentSessions(clusters);
      next();
    };
    const { ladder } = configOf(request);
    try {
      const running = sessions.run(request.raw, reply.raw, (session) =>
        ladder === undefined ? within(session) : nested(clusters, ladder, ([own]) => within(own as Session)),
      );
      if (running instanceof Promise) running.catch(next);
    } catch (error) {
      next(error as Error);
    }
  });
  // A body is read by its socket's events, which know nothing of the request.
  app.addHook('preValidation', (request, _reply, next) => {
    withinAll((request.raw as Raw)[SESSIONS] ?? [], next);
  });
  done();
};

// Without a scope of its own, as fastify-plugin marks it.
Object.assign(sessionPlugin, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'pg-ladder',
  [Symbol.for('plugin-meta')]: { name: 'pg-ladder', fastify: '4.x || 5.x' },
});

function isSecure(
  request: FastifyRequest | undefined,
  asked: CookieOptions<FastifyRequest>['secure'],
): boolean | undefined {
  if (request === undefined) return undefined;
  const own = typeof asked === 'function' ? asked(request) : asked;
  return own ?? request.protocol === 'https';
}

/** Fastify 4 before 4.10 has it elsewhere. */
function configOf(request: FastifyRequest): { readonly ladder?: RouteSessionOptions } {
  const { routeOptions } = request;
  const config: unknown =
    routeOptions === undefined ? (request as { routeConfig?: unknown }).routeConfig : routeOptions.config;
  return (config ?? {}) as { ladder?: RouteSessionOptions };
}
