/**
 * Opens a session for each request: with which tokens it starts, and with which options. What its
 * response carries is decided in `response-token.ts`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Cluster } from '../cluster.js';
import { invalidOptions } from '../errors.js';
import type { SessionOptions } from '../options/calls.js';
import { carriedBy } from '../session/carried-session.js';
import { type Session, TOKEN_HEADER } from '../session/session.js';
import { Candidates } from './candidates.js';
import { cookieNames, cookieValues } from './cookie.js';
import { keepEventsWithin } from './events-within.js';
import { holdResponse } from './held-response.js';
import { OneTimeWarnings } from './one-time-warnings.js';
import { checkedOptions, type HttpSessionOptions, of, type PerRequest } from './options.js';
import { type ResponseRules, ResponseToken } from './response-token.js';
import { NOTHING_STORED, StoreAccess, type StoredTokens } from './store-access.js';

/** Options of a session that may be given per request. */
const SESSION_OPTIONS = [
  'partitionKey',
  'consistency',
  'maxStalenessMillis',
  'priority',
  'subject',
  'monotonicAcrossRequests',
] as const;
const NO_TOKENS: readonly string[] = [];

/** A client must see its own writes, not those of all other clients of this process. */
const NO_INHERITANCE = { inherit: 'none' } as const;

export class HttpCarrier<Request extends IncomingMessage> {
  readonly #cluster: Cluster;
  readonly #options: HttpSessionOptions<Request>;
  readonly #rules: ResponseRules<Request>;
  readonly #cookieNames: readonly string[];
  readonly #warnings: OneTimeWarnings;
  /** Set when no option depends on the request. */
  readonly #fixedOptions: SessionOptions | undefined;

  constructor(cluster: Cluster, options: HttpSessionOptions<Request>) {
    const checked = checkedOptions(options);
    const { header = TOKEN_HEADER, cookie = {}, caching } = options;
    const { positionTimeoutMillis } = checked;
    const tools = cluster.session(carriedBy).carrier;
    this.#cluster = cluster;
    this.#options = options;
    this.#warnings = new OneTimeWarnings(tools);
    this.#rules = {
      tools,
      store: new StoreAccess(options, tools, this.#warnings, positionTimeoutMillis),
      header: header === false ? undefined : header.toLowerCase(),
      cookie: cookie === false ? undefined : cookie,
      caching,
      positionTimeoutMillis,
    };
    this.#cookieNames = this.#rules.cookie === undefined ? [] : cookieNames(this.#rules.cookie);
    const given = SESSION_OPTIONS.flatMap((name) =>
      options[name] === undefined ? [] : [[name, options[name]] as const],
    );
    if (given.every(([, value]) => typeof value !== 'function')) {
      this.#fixedOptions = Object.freeze({ ...(Object.fromEntries(given) as SessionOptions), ...NO_INHERITANCE });
    }
    this.#checkSecrets(checked.allowUnsigned);
  }

  #checkSecrets(allowsUnsigned: boolean): void {
    if (this.#rules.tools.isSigned) return;
    if (this.#options.subject !== undefined) {
      throw invalidOptions(
        'http sessions: subject: expected secrets to be set on the cluster: a token that is not signed binds nobody',
      );
    }
    const isProduction = process.env['NODE_ENV'] === 'production';
    if (isProduction && this.#rules.cookie !== undefined && !allowsUnsigned) {
      throw invalidOptions(
        'http sessions: expected secrets to be set on the cluster: without them clients can forge their cookies; or say allowUnsigned: true',
      );
    }
  }

  /** @param response `undefined` when there is none, as for a WebSocket upgrade */
  run<T>(request: Request, response: ServerResponse | undefined, fn: (session: Session) => T): T | Promise<Awaited<T>> {
    const asked = this.#rules.store.find(request);
    if (asked === undefined) return this.#open(request, response, NOTHING_STORED, fn);
    return asked.then((stored) => this.#open(request, response, stored, fn) as Awaited<T>);
  }

  #open<T>(
    request: Request,
    response: ServerResponse | undefined,
    { tokens: stored, failure }: StoredTokens,
    fn: (session: Session) => T,
  ): T {
    const { store } = this.#rules;
    const tokens = this.#tokensOf(request);
    return this.#cluster.session((session) => {
      const own = carriedBy(session);
      const all = stored.length === 0 ? tokens : [...new Set([...tokens, ...stored])];
      own.startFrom(all, () => this.#warnOfForeignToken());
      if (failure !== undefined) {
        own.pin();
        store.failed('the TokenStore did not answer', failure);
      }
      if (response === undefined) own.whenMoved(() => void store.keep(own, request));
      // Mounted twice on one request, the first one holds the response.
      else holdResponse(response, new ResponseToken(this.#rules, request, response, own, tokens));
      if (request.method !== 'GET' && request.method !== 'HEAD') keepEventsWithin(own, request);
      return fn(session);
    }, this.#sessionOptions(request));
  }

  #sessionOptions(request: Request): SessionOptions {
    if (this.#fixedOptions !== undefined) return this.#fixedOptions;
    const { subject } = this.#options;
    const given = SESSION_OPTIONS.map((name) => [
      name,
      // A subject may need authentication, which runs later: it is asked for when it matters.
      name === 'subject' && typeof subject === 'function'
        ? () => subject(request)
        : of(this.#options[name] as PerRequest<unknown, Request>, request),
    ]);
    return { ...Object.fromEntries(given.filter(([, value]) => value !== undefined)), ...NO_INHERITANCE };
  }

  /** All tokens that came with the request: to believe the newest of them loses nothing. */
  #tokensOf({ headers }: Request): readonly string[] {
    const { tools, header: name } = this.#rules;
    const header = name === undefined ? undefined : headers[name];
    const { cookie } = headers;
    if (header === undefined && cookie === undefined) return NO_TOKENS;
    const candidates = new Candidates(tools.isToken);
    if (header !== undefined) for (const one of [header].flat()) candidates.add(one);
    if (typeof cookie === 'string') {
      // The name that browsers protect comes first.
      for (const own of this.#cookieNames) for (const value of cookieValues(cookie, own)) candidates.add(value);
    }
    if (candidates.malformedCount > 0) tools.countMalformed(candidates.malformedCount);
    return candidates.tokens;
  }

  #warnOfForeignToken(): void {
    const message =
      "a read went without its request's token, since subject named nobody: the token is a user's, or forged. Reads before authentication are nobody's. Told once";
    this.#warnings.warn('subject', message);
  }
}
