/**
 * Opens a session for each request, of each of its clusters: with which tokens they start, and with which options. What its
 * response carries is decided in `response-token.ts`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Cluster } from '../cluster.js';
import { type Clusters, listOf, tokensFor, tokenTest, toolsOf } from '../clusters.js';
import { invalidOptions } from '../errors.js';
import type { SessionOptions } from '../options/calls.js';
import { type CarriedSession, carriedBy } from '../session/carried-session.js';
import type { CarrierTools } from '../session/runner.js';
import { type Session, TOKEN_HEADER } from '../session/session.js';
import { carryIn } from './answer.js';
import { Candidates } from './candidates.js';
import { cookieNames, cookieValues } from './cookie.js';
import { keepEventsWithin } from './events-within.js';
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
  'cache',
  'subject',
  'monotonicAcrossRequests',
  'freshness',
] as const;
const NO_TOKENS: readonly string[] = [];

const FOREIGN =
  "a read went without its request's token, since subject named nobody: the token is a user's, or forged. Reads before authentication are nobody's. Told once";

/** A client must see its own writes, not those of all other clients of this process. */
const NO_INHERITANCE = { inherit: 'none' } as const;

type AnyToken = ResponseToken<IncomingMessage>;

/** What is the same for all requests, of one cluster. */
interface Member<Request extends IncomingMessage> {
  readonly cluster: Cluster;
  readonly rules: ResponseRules<Request>;
  readonly warnings: OneTimeWarnings;
}

export class HttpCarrier<Request extends IncomingMessage> {
  readonly #options: HttpSessionOptions<Request>;
  readonly #members: readonly Member<Request>[];
  readonly #tools: readonly CarrierTools[];
  readonly #store: StoreAccess<Request>;
  readonly #header: string | undefined;
  readonly #isToken: (text: unknown) => text is string;
  readonly #cookieNames: readonly string[];
  /** Set when no option depends on the request. */
  readonly #fixedOptions: SessionOptions | undefined;

  constructor(clusters: Clusters, options: HttpSessionOptions<Request>) {
    const checked = checkedOptions(options);
    const { header = TOKEN_HEADER, cookie = {}, caching } = options;
    const { positionTimeoutMillis } = checked;
    const list = listOf(clusters);
    this.#options = options;
    this.#tools = list.map(toolsOf);
    this.#isToken = tokenTest(this.#tools);
    this.#header = header === false ? undefined : header.toLowerCase();
    this.#members = list.map((cluster, index) => {
      const tools = this.#tools[index] as CarrierTools;
      const warnings = new OneTimeWarnings(tools);
      const store = new StoreAccess(options, { tools, isToken: this.#isToken, warnings }, positionTimeoutMillis);
      const ownCookie = cookie === false ? undefined : cookie;
      const rules = { tools, store, header: this.#header, cookie: ownCookie, caching, positionTimeoutMillis };
      return { cluster, warnings, rules };
    });
    this.#store = this.#first.rules.store;
    const names = cookie === false ? [] : this.#tools.flatMap(({ name }) => cookieNames(cookie, name));
    this.#cookieNames = [...new Set(names)];
    const given = SESSION_OPTIONS.flatMap((name) =>
      options[name] === undefined ? [] : [[name, options[name]] as const],
    );
    if (given.every(([, value]) => typeof value !== 'function')) {
      this.#fixedOptions = Object.freeze({ ...(Object.fromEntries(given) as SessionOptions), ...NO_INHERITANCE });
    }
    this.#checkSecrets(cookie !== false, checked.allowUnsigned);
  }

  get #first(): Member<Request> {
    return this.#members[0] as Member<Request>;
  }

  #checkSecrets(hasCookie: boolean, allowsUnsigned: boolean): void {
    if (this.#tools.every(({ isSigned }) => isSigned)) return;
    if (this.#options.subject !== undefined) {
      throw invalidOptions(
        'http sessions: subject: expected secrets to be set on the cluster: a token that is not signed binds nobody',
      );
    }
    const isProduction = process.env['NODE_ENV'] === 'production';
    if (isProduction && hasCookie && !allowsUnsigned) {
      throw invalidOptions(
        'http sessions: expected secrets to be set on the cluster: without them clients can forge their cookies; or say allowUnsigned: true',
      );
    }
  }

  /** @param response `undefined` when there is none, as for a WebSocket upgrade */
  run<T>(request: Request, response: ServerResponse | undefined, fn: (session: Session) => T): T | Promise<Awaited<T>> {
    const asked = this.#store.find(request);
    if (asked === undefined) return this.#open(request, response, NOTHING_STORED, fn);
    return asked.then((stored) => this.#open(request, response, stored, fn) as Awaited<T>);
  }

  #open<T>(
    request: Request,
    response: ServerResponse | undefined,
    { tokens: stored, failure }: StoredTokens,
    fn: (session: Session) => T,
  ): T {
    const tokens = this.#tokensOf(request);
    const all = stored.length === 0 ? tokens : [...new Set([...tokens, ...stored])];
    const options = this.#sessionOptions(request);
    const opened: CarriedSession[] = [];
    let first: Session | undefined;
    const open = (index: number): T => {
      const member = this.#members[index];
      if (member === undefined) {
        if (request.method !== 'GET' && request.method !== 'HEAD') keepEventsWithin(opened, request);
        return fn(first as Session);
      }
      return member.cluster.session((session) => {
        first ??= session;
        const own = carriedBy(session);
        opened.push(own);
        this.#start(member, own, all, failure);
        if (response === undefined) own.whenMoved(() => void member.rules.store.keep(own, request));
        else this.#carry(member, own, request, response, tokens);
        return open(index + 1);
      }, options);
    };
    if (failure !== undefined) this.#store.failed('the TokenStore did not answer', failure);
    return open(0);
  }

  #start({ rules, warnings }: Member<Request>, own: CarriedSession, tokens: readonly string[], failure?: Error): void {
    own.startFrom(tokensFor(rules.tools, this.#tools, tokens), () => warnings.warn('subject', FOREIGN));
    if (failure !== undefined) own.pin();
  }

  #carry(
    { rules }: Member<Request>,
    own: CarriedSession,
    request: Request,
    response: ServerResponse,
    tokens: readonly string[],
  ): void {
    own.notes?.carry();
    const held = tokensFor(rules.tools, this.#tools, tokens);
    carryIn(response, request, new ResponseToken(rules, request, own, held) as unknown as AnyToken);
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
    const header = this.#header === undefined ? undefined : headers[this.#header];
    const { cookie } = headers;
    if (header === undefined && cookie === undefined) return NO_TOKENS;
    const candidates = new Candidates(this.#isToken);
    if (header !== undefined) for (const one of [header].flat()) candidates.add(one);
    if (typeof cookie === 'string') {
      // The names that browsers protect come first.
      for (const own of this.#cookieNames) for (const value of cookieValues(cookie, own)) candidates.add(value);
    }
    if (candidates.malformedCount > 0) this.#first.rules.tools.countMalformed(candidates.malformedCount);
    return candidates.tokens;
  }
}
