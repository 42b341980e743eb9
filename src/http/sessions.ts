/**
 * Sessions that travel with requests: a request's session starts from the token that came with it, and its answer carries the token of what it wrote, as a cookie
 * for browsers and as a header for services. Framework-free: everything else here is built on it.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { clearTimeout, setImmediate, setTimeout } from '../clock.js';
import type { Cluster } from '../cluster.js';
import { invalidOptions, isError, LadderError, toldAsItIs, wordFor } from '../errors.js';
import { becauseOf, type WarningEvent } from '../events.js';
import type { SessionOptions } from '../options/calls.js';
import { type CarriedSession, type CarrierTools, type Session, TOKEN_HEADER } from '../session/session.js';
import { type Put, TokenKeeper } from '../token/keeper.js';
import { SEPARATOR } from '../token/order.js';
import type { TokenStore } from '../token/store.js';
import { AnswerHead } from './answer-head.js';
import { forbidSharing, mayBeShared } from './caching.js';
import { Candidates } from './candidates.js';
import { cookieNames, cookieText, cookieValues } from './cookie.js';
import { keepEventsWithin } from './events-within.js';
import { holdResponse } from './held-response.js';
import { type CookieOptions, checkedOptions, type HttpSessionOptions, of, type PerRequest } from './options.js';

export { memoryTokenStore } from '../token/memory-store.js';
export { mergedTokens } from '../token/merge.js';
export { orderOf, type TokenOrder } from '../token/order.js';
export type { TokenStore } from '../token/store.js';
export type { CookieOptions, HttpSessionOptions, PerRequest } from './options.js';
export { type ServiceOptions, sessionFetch, sessionInterceptor } from './outgoing.js';

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
const NO_TOKENS: readonly string[] = [];

/** What a store has said. */
interface Stored {
  readonly tokens: readonly string[];
  /** Why that may not be all; `undefined` when it is. */
  readonly failure: Error | undefined;
}

const NOTHING_STORED: Stored = { tokens: NO_TOKENS, failure: undefined };

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
  /** What was told already, and would be told with every request. */
  readonly #told = new Set<string>();
  /** Of which the store was asked nothing, since nobody was named when they came. */
  readonly #unasked = new WeakSet<Request>();

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
    const { store } = this.#options;
    const key = this.#keyOf(request);
    if (store === undefined || key === undefined) {
      if (store !== undefined) this.#unasked.add(request);
      return this.#open(request, response, NOTHING_STORED, fn);
    }
    return this.#withinBound(this.#storedAt(key, store)).then(
      (stored) => this.#open(request, response, stored, fn) as Awaited<T>,
      (error: unknown) => this.#open(request, response, { tokens: [], failure: asError(error) }, fn) as Awaited<T>,
    );
  }

  /** What the store has for that key. It belongs to the application: its answer may be anything. */
  async #storedAt(key: string, store: TokenStore): Promise<Stored> {
    const found: unknown = await store.get(key);
    if (found === undefined || found === null) return NOTHING_STORED;
    const candidates = new Candidates(this.#tools.isToken);
    candidates.add(found);
    this.#tools.countMalformed(candidates.malformedCount);
    const isAll = candidates.malformedCount === 0;
    const failure = isAll ? undefined : toldAsItIs(new Error('it answered with something else than tokens'));
    return { tokens: candidates.tokens, failure };
  }

  #open<T>(
    request: Request,
    response: ServerResponse | undefined,
    { tokens: stored, failure }: Stored,
    fn: (session: Session) => T,
  ): T {
    const tokens = this.#tokensOf(request);
    return this.#cluster.session((session) => {
      const own = carried(session);
      const all = stored.length === 0 ? tokens : [...new Set([...tokens, ...stored])];
      own.startFrom(all, () => this.#toldForeign());
      if (failure !== undefined) {
        own.pin();
        this.#storeFailed('the TokenStore did not answer', failure);
      }
      if (response === undefined) own.whenMoved(() => void this.#store(own, request));
      else this.#carry(request, response, own, tokens);
      if (request.method !== 'GET' && request.method !== 'HEAD') keepEventsWithin(own, request);
      return fn(session);
    }, this.#sessionOptions(request));
  }

  #sessionOptions(request: Request): SessionOptions {
    if (this.#fixedOptions !== undefined) return this.#fixedOptions;
    const { subject } = this.#options;
    const given = ASKED.map((name) => [
      name,
      // Whoever has to be authenticated first is asked for when it matters.
      name === 'subject' && typeof subject === 'function'
        ? () => subject(request)
        : of(this.#options[name] as PerRequest<unknown, Request>, request),
    ]);
    return { ...Object.fromEntries(given.filter(([, value]) => value !== undefined)), ...NO_INHERITANCE };
  }

  /** All that came with the request: nothing is lost by believing the newest. */
  #tokensOf({ headers }: Request): readonly string[] {
    const header = this.#header === undefined ? undefined : headers[this.#header];
    const { cookie } = headers;
    if (header === undefined && cookie === undefined) return NO_TOKENS;
    const candidates = new Candidates(this.#tools.isToken);
    if (header !== undefined) for (const one of [header].flat()) candidates.add(one);
    if (typeof cookie === 'string') {
      // What a browser protects by its name comes first.
      for (const name of this.#cookieNames) for (const value of cookieValues(cookie, name)) candidates.add(value);
    }
    if (candidates.malformedCount > 0) this.#tools.countMalformed(candidates.malformedCount);
    return candidates.tokens;
  }

  #carry(request: Request, response: ServerResponse, session: CarriedSession, tokens: readonly string[]): void {
    let value: string | undefined;
    let hasMovedOn = false;
    const kept = this.#options.store === undefined ? undefined : this.#keeperFor(session, request);
    // From now on they are counted.
    void session.underWayCount;
    const writesOver = (): Promise<void> =>
      new Promise((resolve) => {
        setImmediate(() => session.whenWritesAreOver(resolve));
      });
    const ready = (): Promise<void> | undefined => {
      if (session.underWayCount === 0 && !savesAtItsEnd(request)) return told();
      return this.#withinBound(writesOver()).then(told, told);
    };
    const told = (): Promise<void> | undefined => {
      if (!session.hasMoved) return undefined;
      const current = async (): Promise<string | undefined> => {
        for (;;) {
          hasMovedOn = false;
          session.whenMoved(() => {
            hasMovedOn = true;
          });
          const [token] = await Promise.all([session.token(), kept?.moved()]);
          // What was written while it was asked for belongs to it, too: nothing has left yet.
          if (!hasMovedOn) return token;
        }
      };
      return this.#withinBound(current())
        .then(
          (token) => this.#valueOf(token as string, session, tokens),
          () => this.#valueWithout(session, request, kept),
        )
        .then((found) => {
          value = found;
        });
    };
    const wroteLate = (): void => this.#wroteLate(request, kept);
    const complete = (args: unknown[] | undefined): unknown[] | undefined => {
      if (hasMovedOn) wroteLate();
      session.whenMoved(wroteLate);
      return value === undefined ? args : this.#addTo(value, request, response, args);
    };
    const leaving = (isLast: boolean): Promise<void> | undefined => {
      const keeping = kept?.keeping();
      const isBusy = isLast && session.underWayCount > 0;
      if (!isBusy && keeping === undefined) return undefined;
      const all = isBusy ? writesOver().then(() => kept?.keeping()) : keeping;
      return this.#withinBound(all as Promise<void>).catch(async () => {
        // A store that is late with tokens is late with marks.
        if (kept?.isAwaitingPosition === true) await this.#valueWithout(session, request, kept).catch(() => undefined);
      });
    };
    const ended = (): void => {
      if (kept?.ended() === false) this.#storeLate();
    };
    // Whoever mounts this twice means the first one.
    holdResponse(response, { ready, complete, body: kept === undefined ? undefined : { leaving, ended } });
  }

  /** What the answer carries; `undefined` when its receiver has it already. */
  #valueOf(token: string, session: CarriedSession, tokens: readonly string[]): string | undefined {
    const pinnedBy = session.pinnedBy();
    const hasMark = pinnedBy === undefined || tokens.includes(pinnedBy);
    // One that was refused here is of no use to it.
    if (hasMark && tokens.some((own) => stands(own, token) && session.hasTaken(own))) return undefined;
    // What no position stands for stays with its bearer for as long as that lives.
    return pinnedBy === undefined ? token : [pinnedBy, token].join(SEPARATOR);
  }

  /** The position was not to be had in time. */
  async #valueWithout(
    session: CarriedSession,
    request: Request,
    kept: TokenKeeper | undefined,
  ): Promise<string | undefined> {
    let mark: string;
    try {
      mark = session.primaryOnlyToken();
    } catch (error) {
      const message = `an answer carries no token, since its subject could not be told: ${wordFor(error)}`;
      this.#tools.warn(() => becauseOf(error, { code: 'subject', message }));
      return undefined;
    }
    this.#tools.warn(() => ({
      code: 'position-late',
      message: `the primary did not tell within ${this.#positionTimeoutMillis} ms where the request's writes have ended: its client reads on the primary for a while`,
    }));
    await this.#withinBound(this.#put(request, mark)).then(
      () => kept?.marked(),
      () => undefined,
    );
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
  #addTo(
    value: string,
    request: Request,
    response: ServerResponse,
    args: unknown[] | undefined,
  ): unknown[] | undefined {
    const head = new AnswerHead(response, args);
    if (mayBeShared(head, request.method)) {
      if (this.#options.caching === 'omit') return args;
      forbidSharing(head);
    }
    if (this.#header !== undefined && request.headers[this.#header] !== undefined) head.set(this.#header, value);
    if (this.#cookie !== undefined)
      head.add('set-cookie', cookieText(value, request, this.#cookie, this.#tools.tokenLifetimeMillis));
    return head.args;
  }

  /** A request has written after the head of its answer had left. */
  #wroteLate(request: Request, kept: TokenKeeper | undefined): void {
    if (kept === undefined || !this.#isKeyed(request)) {
      this.#tools.warn(() => ({
        code: 'write-after-headers',
        message:
          'a request wrote after the head of its answer had left: no token of that answer covers it; write before, or use a TokenStore',
      }));
      return;
    }
    if (kept.isFirstLate()) {
      this.#tools.warn(() => ({
        code: 'write-after-end',
        message:
          'a request wrote after its answer had ended: the next request of its user may miss that; write before the end. Told once for an answer',
      }));
    }
    void kept.moved();
  }

  #storeLate(): void {
    this.#tools.warn(() => ({
      code: 'token-store',
      message: `an answer ended before the TokenStore had its token, which it was given ${this.#positionTimeoutMillis} ms for: the next request of its user may miss what it wrote`,
    }));
  }

  #keeperFor(session: CarriedSession, request: Request): TokenKeeper {
    const put: Put = (hasToken) => this.#store(session, request, hasToken);
    return new TokenKeeper(put, () => session.readAt);
  }

  async #store(session: CarriedSession, request: Request, hasToken?: () => void): Promise<void> {
    if (this.#options.store === undefined) return;
    try {
      const token = await session.token().catch(() => session.primaryOnlyToken());
      hasToken?.();
      await this.#put(request, token);
    } catch (error) {
      this.#storeFailed('a token was not stored', asError(error));
    }
  }

  #storeFailed(what: string, error: Error): void {
    this.#tools.warn(() => becauseOf(error, { code: 'token-store', message: `${what}: ${wordFor(error)}` }));
  }

  async #put(request: Request, token: string): Promise<void> {
    // By now it is known who asked, if ever.
    const key = this.#keyOf(request);
    if (key === undefined) return;
    if (this.#unasked.has(request)) {
      const message =
        'storeKey named nobody when a request came and somebody later, so its reads went without what the TokenStore has: harmless for a login; else authenticate first. Told once';
      this.#warnOnce('token-store', message);
    }
    await this.#options.store?.put(key, token, this.#tools.tokenLifetimeMillis);
  }

  /** Whether the store would keep anything for it. */
  #isKeyed(request: Request): boolean {
    try {
      return this.#keyOf(request) !== undefined;
    } catch {
      // It is told when something is to be kept.
      return true;
    }
  }

  /** Whose token the store keeps. @throws LadderError `LADDER_INVALID_OPTIONS` */
  #keyOf(request: Request): string | undefined {
    const found: unknown = this.#options.storeKey?.(request);
    if (found === undefined || found === null || found === '') return undefined;
    if (typeof found === 'string') return found;
    if (typeof found === 'number' || typeof found === 'bigint') return String(found);
    if (found instanceof Promise) found.catch(() => undefined);
    throw invalidOptions('http sessions: storeKey: expected a string, or undefined for nobody, at once');
  }

  #toldForeign(): void {
    const message =
      "a read went without its request's token, since subject named nobody: the token is a user's, or forged. Reads before authentication are nobody's. Told once";
    this.#warnOnce('subject', message);
  }

  #warnOnce(code: WarningEvent['code'], message: string): void {
    if (this.#told.has(code)) return;
    this.#told.add(code);
    this.#tools.warn(() => ({ code, message }));
  }
}

/** Whether express-session keeps the web session: it begins to save that when the answer ends, and asks for the answer's head before that is done. */
function savesAtItsEnd(request: IncomingMessage): boolean {
  return 'sessionStore' in request;
}

/** A store may reject with anything. */
function asError(error: unknown): Error {
  return isError(error) ? error : toldAsItIs(new Error('it gave no reason'));
}

/** A session as its carriers know it. */
function carried(session: Session): CarriedSession {
  return session as CarriedSession;
}

/** Whether both say the same position. */
function stands(a: string, b: string): boolean {
  return a.slice(0, ISSUED_AT) === b.slice(0, ISSUED_AT);
}
