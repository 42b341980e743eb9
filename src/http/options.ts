/** The options of sessions over HTTP: documented for users, and checked once. */
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import type { Consistency } from '../freshness/requirement.js';
import { type CacheReadOptions, cacheOfRead } from '../options/cache.js';
import type { Priority } from '../options/calls.js';
import { check, optionsOf } from '../options/check.js';
import type { TokenStore } from '../token/store.js';

/** A value for all requests, or a function that gives each request its own. */
export type PerRequest<T, Request> = T | ((request: Request) => T | undefined);

/** Attributes of the cookie. It is always HttpOnly. */
export interface CookieOptions<Request = IncomingMessage> {
  /**
   * Default: `__Host-pg-ladder` over TLS; `pg-ladder` otherwise, and where `domain` or `path` is
   * set.
   */
  name?: string | undefined;
  /** Default `/`. */
  path?: string | undefined;
  /** Default: the host alone. */
  domain?: string | undefined;
  /** Default `lax`. */
  sameSite?: 'lax' | 'strict' | 'none' | undefined;
  /**
   * Whether the browser sends it over TLS only. Default: whether the request came over TLS, by its
   * socket or by the framework (`request.secure`).
   */
  secure?: PerRequest<boolean, Request> | undefined;
}

export interface HttpSessionOptions<Request = IncomingMessage> {
  /** `false`: no cookie, for services. */
  cookie?: CookieOptions<Request> | false | undefined;
  /**
   * The header of services. A response has it if the request had it, even an empty one. Default
   * `pg-ladder-token`; `false`: none.
   */
  header?: string | false | undefined;
  /**
   * The key that the request's reads belong to: they go to that key's replica while it is fresh
   * enough. At most 1,024 characters; an empty key is none. Default: none.
   */
  partitionKey?: PerRequest<string, Request> | undefined;
  /** Default: the cluster's. */
  consistency?: PerRequest<Consistency, Request> | undefined;
  /** In milliseconds, above 0. Default: the cluster's. */
  maxStalenessMillis?: PerRequest<number, Request> | undefined;
  /** Default `normal`. */
  priority?: PerRequest<Priority, Request> | undefined;
  /**
   * Whether kept answers will do for the request's reads that say nothing of it themselves, see
   * `ReadOptions.cache`. The cluster must have caches. Default: by the cluster's rules.
   */
  cache?: PerRequest<boolean | CacheReadOptions, Request> | undefined;
  /**
   * Whom the token is for: a token that was made for another subject is refused. Needs `secrets` on
   * the cluster. Default: any holder. A function is called when a read or a response's token first
   * needs it, so authentication may run after this. It returns text at once, no promise.
   * `undefined`, `null` and `''` stand for nobody: then users' tokens are refused, with a `subject`
   * warning, and what is written belongs to the user who logs in next.
   */
  subject?: string | ((request: Request) => string | null | undefined) | undefined;
  /**
   * Whether a request also sees all that earlier ones have read, not only what they wrote. Costs
   * one question to the primary per response. Default `false`.
   */
  monotonicAcrossRequests?: boolean | undefined;
  /**
   * Whether a request's session notes what its reads show, for `cacheControl`. With `true`, the
   * first read of each text also waits until it is known what the text depends on. Default: whether
   * the cluster has a `cache`; then nothing waits, and only reads with `cache` are known from the
   * start.
   */
  freshness?: boolean | undefined;
  /**
   * How long a response waits for the position of its writes, in milliseconds, 0 to 10,000. Default
   * 250. If the position is late, the token says: read from the primary until it expires. With a
   * `store`, a later part of the response waits as long until the store has what was written
   * meanwhile.
   */
  positionTimeoutMillis?: number | undefined;
  /**
   * What to do with a response that shared caches could keep: `private` (default) forbids it,
   * `omit` leaves the token out.
   */
  caching?: 'private' | 'omit' | undefined;
  /**
   * Keeps tokens on the server, for clients without cookies and headers, and for writes after the
   * head of a response has left: the rest of the response waits for the store. Needs `storeKey`.
   * Default: none.
   */
  store?: TokenStore | undefined;
  /**
   * Whose token it is, such as a user's id; `undefined` for nobody's. It is called when the request
   * comes, and again when something is to be stored: mount this after authentication.
   */
  storeKey?: (request: Request) => string | undefined;
  /**
   * Allows cookies in production without `secrets`. Clients can forge them, which makes only their
   * own reads slower or staler. Default `false`.
   */
  allowUnsigned?: boolean | undefined;
}

/** The option's value for one request. */
export function of<T, Request>(value: PerRequest<T, Request> | undefined, request: Request): T | undefined {
  if (typeof value !== 'function') return value;
  const found = (value as (request: Request) => T | undefined)(request);
  // A promise is refused like any other wrong value; its rejection must not end the process.
  if (found instanceof Promise) found.catch(() => undefined);
  return found;
}

const perRequest = <T extends z.ZodType>(type: T) => z.union([type, z.function()]).optional();
const httpName = z
  .string()
  .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'expected a name of HTTP: letters, digits and a few signs');

const schema = optionsOf({
  cookie: z
    .union([
      z.literal(false),
      optionsOf({
        name: httpName.optional(),
        path: z
          .string()
          .regex(/^\/[^;,\s]*$/)
          .optional(),
        domain: z
          .string()
          .regex(/^[^;,\s]+$/)
          .optional(),
        sameSite: z.enum(['lax', 'strict', 'none']).optional(),
        secure: perRequest(z.boolean()),
      }),
    ])
    .optional(),
  header: z.union([z.literal(false), httpName]).optional(),
  partitionKey: perRequest(z.string().max(1_024)),
  consistency: perRequest(z.enum(['eventual', 'session', 'strong'])),
  maxStalenessMillis: perRequest(z.number().positive()),
  priority: perRequest(z.string()),
  cache: z.union([cacheOfRead, z.function()]).optional(),
  subject: perRequest(z.string()),
  monotonicAcrossRequests: z.boolean().optional(),
  freshness: z.boolean().optional(),
  positionTimeoutMillis: z.number().min(0).max(10_000).default(250),
  caching: z.enum(['private', 'omit']).default('private'),
  store: z.custom<TokenStore>((store) => typeof (store as TokenStore)?.get === 'function').optional(),
  storeKey: z.function().optional(),
  allowUnsigned: z.boolean().default(false),
});

export type CheckedOptions = z.infer<typeof schema>;

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function checkedOptions(options: object): CheckedOptions {
  const checked = check(schema, options, 'http sessions');
  const { store, storeKey } = checked;
  if ((store === undefined) !== (storeKey === undefined)) {
    throw invalidOptions('http sessions: store, storeKey: expected both or none');
  }
  return checked;
}
