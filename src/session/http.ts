/**
 * Sessions that travel with requests: a request's session starts from the token that came with it, and its answer carries the token of what it wrote, as a cookie
 * for browsers and as a header for services. Framework-free: everything else here is built on it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Cluster } from '../cluster.js';
import { invalidOptions, LadderError, toldAsItIs, wordFor } from '../errors.js';
import { becauseOf } from '../events.js';
import type { SessionOptions } from '../options/calls.js';
import { AnswerHead, mayBeShared, privateOf } from './answer-head.js';
import { addCookies, cookieNames, cookieText, MAX_TOKENS } from './cookie.js';
import { keepEventsWithin } from './events-within.js';
import { holdResponse } from './held-response.js';
import { type CookieOptions, checkedOptions, type HttpSessionOptions, of, type PerRequest } from './http-options.js';
import { type CarriedSession, type CarrierTools, type Session, TOKEN_HEADER } from './session.js';
import { SEPARATOR } from './token-store.js';

export type { CookieOptions, HttpSessionOptions, PerRequest } from './http-options.js';
export { type ServiceOptions, sessionFetch, sessionInterceptor } from './services.js';
export { memoryTokenStore, mergedTokens, orderOf, type TokenOrder, type TokenStore } from './token-store.js';

export interface HttpSessions<Request extends IncomingMessage = IncomingMessage> {
  /**
   * Runs `fn` within the request's session; its answer carries the session's token when it leaves.
   * @returns what `fn` does, in a promise where a `store` has to be asked first
   */
  run<T>(request: Request, response: ServerResponse, fn: (session: Session) => T): T | Promise<Awaited<T>>;
  /** The same without an answer, for WebSocket upgrades: its writes are told to the `store` alone. */
  runDetached<T>(request: Request, fn: (session: Session) => T): T | Promise<Awaited<T>>;
}

/** Where in a token's text its time begins: before it stands the position. */
const ISSUED_AT = 41;
/** What a session takes from the options, for each request or for all. */
const ASKED = [
  'partitionKey',
  'consistency',
  'maxStalenessMillis',
  'priority',
  'subject',
  'monotonicAcrossRequests',
] as const;
/** What this process wrote for others is no business of a client's. */
const NO_INHERITANCE = { inherit: 'none' } as const;

/**
 * Sessions for requests to that cluster.
 * @throws LadderError `LADDER_INVALID_OPTIONS`, also for cookies that could be forged in production: set `secrets` on the cluster
 */
export function httpSessions<Request extends IncomingMessage = IncomingMessage>(
  cluster: Cluster,
  options: HttpSessionOptions<Request> = {},
): HttpSessions<Request> {
  const carrier = new HttpCarrier<Request>(cluster, options);
  return {
    run: (request, response, fn) => carrier.run(request, response, fn),
    runDetached: (request, fn) => carrier.run(request, undefined, fn),
  };
}

class HttpCarrier<Request extends IncomingMessage> {
  readonly #cluster: Cluster;
  readonly #options: HttpSessionOptions<Request>;
  readonly #header: string | undefined;
  readonly #cookie: CookieOptions<Request> | undefined;
  readonly #cookieNames: readonly string[];
  readonly #positionTimeoutMillis: number;
  readonly #tools: CarrierTools;
  /** Where no request asks for anything of its own. */
  readonly #fixedOptions: SessionOptions | undefined;

  constructor(cluster: Cluster, options: HttpSessionOptions<Request>) {
    const checked = checkedOptions(options);
    this.#cluster = cluster;
    this.#options = options;
    const { header = TOKEN_HEADER, cookie = {} } = options;
    this.#header = header === false ? undefined : header.toLowerCase();
    this.#cookie = cookie === false ? undefined : cookie;
    this.#cookieNames = this.#cookie === undefined ? [] : cookieNames(this.#cookie);
    this.#positionTimeoutMillis = checked.positionTimeoutMillis;
    const asked = ASKED.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]] as const]));
    if (asked.every(([, value]) => typeof value !== 'function')) {
      this.#fixedOptions = Object.freeze({ ...(Object.fromEntries(asked) as SessionOptions), ...NO_INHERITANCE });
    }
    this.#tools = cluster.session(carried).carrier;
    if (options.subject !== undefined && !this.#tools.isSigned) {
      throw invalidOptions(
        'http sessions: subject: expected secrets to be set on the cluster: a token that is not signed binds nobody',
      );
    }
    const isProduction = process.env['NODE_ENV'] === 'production';
    if (isProduction && !this.#tools.isSigned && this.#cookie !== undefined && !checked.allowUnsigned) {
      throw invalidOptions(
        'http sessions: expected secrets to be set on the cluster: without them clients can forge their cookies; or say allowUnsigned: true',
      );
    }
  }

  run<T>(request: Request, response: ServerResponse | undefined, fn: (session: Session) => T): T | Promise<Awaited<T>> {
    const { store, storeKey } = this.#options;
    const key = storeKey?.(request);
    if (store === undefined || key === undefined) return this.#open(request, response, undefined, undefined, fn);
    return this.#withinBound(store.get(key)).then(
      (stored) => this.#open(request, response, key, stored, fn) as Awaited<T>,
      (error: unknown) => this.#open(request, response, key, asError(error), fn) as Awaited<T>,
    );
  }

  /** @param stored what the store has; an error when it does not tell */
  #open<T>(
    request: Request,
    response: ServerResponse | undefined,
    key: string | undefined,
    stored: string | Error | undefined,
    fn: (session: Session) => T,
  ): T {
    const tokens = this.#tokensOf(request);
    return this.#cluster.session((session) => {
      const own = carried(session);
      for (const token of tokens) own.startFrom(token);
      if (typeof stored === 'string') for (const token of stored.split(SEPARATOR)) own.startFrom(token);
      if (stored instanceof Error) {
        own.pin();
        this.#storeFailed('the TokenStore did not answer', stored);
      }
      if (response === undefined) own.whenMoved(() => void this.#store(own, key));
      else this.#carry(request, response, own, tokens, key);
      if (request.method !== 'GET' && request.method !== 'HEAD') keepEventsWithin(own, request);
      return fn(session);
    }, this.#sessionOptions(request));
  }

  #sessionOptions(request: Request): SessionOptions {
    if (this.#fixedOptions !== undefined) return this.#fixedOptions;
    const given = ASKED.map((name) => [name, of(this.#options[name] as PerRequest<unknown, Request>, request)]);
    return { ...Object.fromEntries(given.filter(([, value]) => value !== undefined)), ...NO_INHERITANCE };
  }

  /** All that came with the request: nothing is lost by believing the newest. */
  #tokensOf({ headers }: Request): string[] {
    const found: string[] = [];
    const header = this.#header === undefined ? undefined : headers[this.#header];
    if (header !== undefined) found.push(...String(header).split(/[.,]\s*/, MAX_TOKENS));
    if (headers.cookie !== undefined) {
      for (const name of this.#cookieNames) addCookies(found, headers.cookie, name);
    }
    const isClean = found.length <= MAX_TOKENS && !found.includes('') && !found.includes('-');
    return isClean ? found : found.filter((token) => token !== '' && token !== '-').slice(0, MAX_TOKENS);
  }

  #carry(
    request: Request,
    response: ServerResponse,
    session: CarriedSession,
    tokens: readonly string[],
    key: string | undefined,
  ): void {
    let value: string | undefined;
    let hasMovedOn = false;
    // From now on they are counted.
    void session.underWayCount;
    const ready = (): Promise<void> | undefined => {
      if (session.underWayCount === 0 && !savesAtItsEnd(request)) return told();
      const over = new Promise<void>((resolve) => {
        setImmediate(() => session.whenWritesAreOver(resolve));
      });
      return this.#withinBound(over).then(told, told);
    };
    const told = (): Promise<void> | undefined => {
      if (!session.hasMoved) return undefined;
      const current = async (): Promise<string | undefined> => {
        for (;;) {
          hasMovedOn = false;
          session.whenMoved(() => {
            hasMovedOn = true;
          });
          const [token] = await Promise.all([session.token(), this.#store(session, key)]);
          // What was written while it was asked for belongs to it, too: nothing has left yet.
          if (!hasMovedOn) return token;
        }
      };
      return this.#withinBound(current())
        .then(
          (token) => this.#valueOf(token as string, session, tokens),
          () => this.#valueWithout(session, key),
        )
        .then((found) => {
          value = found;
        });
    };
    const complete = (args: unknown[] | undefined): unknown[] | undefined => {
      if (hasMovedOn) this.#wroteLate(session, key);
      session.whenMoved(() => this.#wroteLate(session, key));
      return value === undefined ? args : this.#put(value, request, response, args);
    };
    // Whoever mounts this twice means the first one.
    holdResponse(response, { ready, complete });
  }

  /** What the answer carries; `undefined` when its receiver has it already. */
  #valueOf(token: string, session: CarriedSession, tokens: readonly string[]): string | undefined {
    const pinnedBy = session.pinnedBy();
    const hasMark = pinnedBy === undefined || tokens.includes(pinnedBy);
    if (hasMark && tokens.some((own) => stands(own, token))) return undefined;
    // What no position stands for stays with its bearer for as long as that lives.
    return pinnedBy === undefined ? token : [pinnedBy, token].join(SEPARATOR);
  }

  /** The position was not to be had in time. */
  async #valueWithout(session: CarriedSession, key: string | undefined): Promise<string> {
    const mark = session.primaryOnlyToken();
    this.#tools.warn(() => ({
      code: 'position-late',
      message: `the primary did not tell within ${this.#positionTimeoutMillis} ms where the request's writes have ended: its client reads on the primary for a while`,
    }));
    const { store } = this.#options;
    if (store !== undefined && key !== undefined) {
      await this.#withinBound(store.put(key, mark, this.#tools.tokenLifetimeMillis)).catch(() => undefined);
    }
    return mark;
  }

  /** @throws Error when nothing is known in time */
  async #withinBound<T>(asked: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new LadderError('LADDER_TIMEOUT', `no answer within ${this.#positionTimeoutMillis} ms`)),
        this.#positionTimeoutMillis,
      );
    });
    try {
      return await Promise.race([asked, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @returns what `writeHead` shall be given */
  #put(value: string, request: Request, response: ServerResponse, args: unknown[] | undefined): unknown[] | undefined {
    const head = new AnswerHead(response, args);
    const cacheControl = head.get('cache-control');
    const isReadable = request.method === 'GET' || request.method === 'HEAD';
    if (mayBeShared(cacheControl, isReadable)) {
      if (this.#options.caching === 'omit') return args;
      head.set('cache-control', privateOf(cacheControl));
    }
    if (this.#header !== undefined && request.headers[this.#header] !== undefined) head.set(this.#header, value);
    if (this.#cookie !== undefined)
      head.add('set-cookie', cookieText(value, request, this.#cookie, this.#tools.tokenLifetimeMillis));
    return head.args;
  }

  #wroteLate(session: CarriedSession, key: string | undefined): void {
    this.#tools.warn(() => ({
      code: 'write-after-headers',
      message:
        'a request wrote after the head of its answer had left: no token of that answer covers it; write before, or use a TokenStore',
    }));
    void this.#store(session, key);
  }

  async #store(session: CarriedSession, key: string | undefined): Promise<void> {
    const { store } = this.#options;
    if (store === undefined || key === undefined) return;
    try {
      const token = await session.token().catch(() => session.primaryOnlyToken());
      await store.put(key, token, this.#tools.tokenLifetimeMillis);
    } catch (error) {
      this.#storeFailed('a token was not stored', asError(error));
    }
  }

  #storeFailed(what: string, error: Error): void {
    this.#tools.warn(() => becauseOf(error, { code: 'token-store', message: `${what}: ${wordFor(error)}` }));
  }
}

/** Whether express-session keeps the web session: it begins to save that when the answer ends, and asks for the answer's head before that is done. */
function savesAtItsEnd(request: IncomingMessage): boolean {
  return 'sessionStore' in request;
}

/** A store may reject with anything. */
function asError(error: unknown): Error {
  return error instanceof Error ? error : toldAsItIs(new Error('it gave no reason'));
}

/** A session as its carriers know it. */
function carried(session: Session): CarriedSession {
  return session as CarriedSession;
}

/** Whether both say the same position. */
function stands(a: string, b: string): boolean {
  return a.slice(0, ISSUED_AT) === b.slice(0, ISSUED_AT);
}
