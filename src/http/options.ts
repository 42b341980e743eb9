/** What sessions that travel by HTTP accept, documented by hand, checked once. */
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import type { Consistency } from '../freshness/requirement.js';
import type { Priority } from '../options/calls.js';
import { check, optionsOf } from '../options/check.js';
import type { TokenStore } from '../token/store.js';

/** A value for all requests, or one for each. */
export type PerRequest<T, Request> = T | ((request: Request) => T | undefined);

/** The cookie's attributes; it is always HttpOnly. */
export interface CookieOptions<Request = IncomingMessage> {
  /** Default: `__Host-pg-ladder` over TLS, `pg-ladder` otherwise, and where a `domain` or `path` is set. */
  name?: string | undefined;
  /** Default `/`. */
  path?: string | undefined;
  /** Default: the host alone. */
  domain?: string | undefined;
  /** Default `lax`. */
  sameSite?: 'lax' | 'strict' | 'none' | undefined;
  /** Whether the browser sends it over TLS only. Default: whether the request came over TLS, as the socket or the framework (`request.secure`) says. */
  secure?: PerRequest<boolean, Request> | undefined;
}

export interface HttpSessionOptions<Request = IncomingMessage> {
  /** `false`: no cookie, for services. */
  cookie?: CookieOptions<Request> | false | undefined;
  /** The header that services send and get. It is given back to those who sent it, empty or not. Default `pg-ladder-token`; `false`: none. */
  header?: string | false | undefined;
  /** Whose key the request's reads belong to: they go to that key's replica while it is fresh enough. At most 1,024 characters; an empty one is none. Default: none. */
  partitionKey?: PerRequest<string, Request> | undefined;
  /** Default: the cluster's. */
  consistency?: PerRequest<Consistency, Request> | undefined;
  /** In milliseconds. Default: the cluster's. */
  maxStalenessMillis?: PerRequest<number, Request> | undefined;
  /** Default `normal`. */
  priority?: PerRequest<Priority, Request> | undefined;
  /**
   * Whom the token is for: one that was made for somebody else is refused. Needs `secrets` on the cluster. Default: whoever has it. A function is asked when a
   * read or an answer's token first needs it, so that authentication may come after this; what it gives is text at once, and no promise. `undefined`, `null`
   * and `''` stand for nobody: then users' tokens are refused, with a `subject` warning, and what is written belongs to whoever logs in next.
   */
  subject?: string | ((request: Request) => string | null | undefined) | undefined;
  /** Whether a request also sees what earlier ones have read, and not only what they wrote. Costs a question to the primary per answer. Default `false`. */
  monotonicAcrossRequests?: boolean | undefined;
  /**
   * How long an answer waits for the position of its writes, in milliseconds, 0 to 10,000; after that its token keeps its bearer's reads on the primary until it
   * expires. With a `store`, a later part of the answer waits as long for what was written meanwhile to be kept. Default 250.
   */
  positionTimeoutMillis?: number | undefined;
  /** What becomes of an answer that others than its receiver could cache: `private` (default) forbids them to, `omit` leaves its token out. */
  caching?: 'private' | 'omit' | undefined;
  /**
   * Keeps tokens on the server's side, for clients that keep neither cookies nor headers, and for what is written after an answer's head has left: the rest of the
   * answer waits for it. Needs `storeKey`. Default: none.
   */
  store?: TokenStore | undefined;
  /**
   * Whose token it is, such as a user's id; `undefined` for nobody's. It is asked when the request comes, and again when something is to be kept: put this after
   * authentication.
   */
  storeKey?: (request: Request) => string | undefined;
  /** Sets cookies that clients can forge, in production and without `secrets`: whoever does asks for staler or fresher reads of his own. Default `false`. */
  allowUnsigned?: boolean | undefined;
}

/** What it is for that request. */
export function of<T, Request>(value: PerRequest<T, Request> | undefined, request: Request): T | undefined {
  if (typeof value !== 'function') return value;
  const found = (value as (request: Request) => T | undefined)(request);
  // It is refused like anything else that is no such value; that it also rejects must not end the process.
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
  subject: perRequest(z.string()),
  monotonicAcrossRequests: z.boolean().optional(),
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
