/**
 * Sessions that travel to other services and back: the token goes along with what is asked of them,
 * and what their answers carry is folded in.
 */

import { type Clusters, currentSessions, listOf, tokensFor, tokenTest } from '../clusters.js';
import { invalidOptions } from '../errors.js';
import type { CarriedSession } from '../session/carried-session.js';
import { TOKEN_HEADER } from '../session/session.js';
import { SEPARATOR } from '../token/order.js';
import { Candidates } from './candidates.js';
import { failed, isUsedUp, KeptBody, nextStep, type Step } from './redirects.js';

export interface ServiceOptions {
  /**
   * The services that get the token, each by scheme, host and port: `https://orders.internal:8443`.
   * No other server gets it.
   */
  origins: readonly string[];
  /** Default `pg-ladder-token`. */
  header?: string;
}

const COMPOSED_BELOW =
  'services: a redirect is followed below sessionInterceptor, and would take the token along: compose(sessionInterceptor(…), interceptors.redirect(…))';

const SENT_ONCE = 'the body cannot be sent once more, as the redirect wants';

/** Sent in place of a token: this side has none, and wants the response's. */
const NOTHING = '-';

/** The parts of undici's interceptors (7.x) that are used here. */
type Dispatch = (options: DispatchOptions, handler: Handler) => boolean;
interface DispatchOptions {
  readonly origin?: string | URL | undefined;
  readonly headers?: unknown;
}
interface Controller {
  abort(reason: Error): void;
}
interface Handler {
  onRequestStart?(controller: Controller, context: unknown): void;
  onRequestUpgrade?(...args: never[]): void;
  onResponseStart?(
    controller: never,
    statusCode: number,
    headers: Record<string, string | string[] | undefined>,
    statusMessage?: string,
  ): void;
  onResponseData?(...args: never[]): void;
  onResponseEnd?(...args: never[]): void;
  onResponseError?(controller: never, error: Error): void;
}

/**
 * `fetch` that sends the calling code's session along to the services of `origins`, and takes in
 * what their answers carry. It follows redirects itself: each step has the session's token only
 * where it leads to one of `origins`, and only what these answer is taken in. A body that can be
 * sent only once, such as a stream, is not sent on, as with fetch itself; nor is that of a
 * `Request` above 1 MiB.
 * @param clusters one, or a list: then the sessions of all go along
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function sessionFetch(
  clusters: Clusters,
  options: ServiceOptions,
  fetch: typeof globalThis.fetch = globalThis.fetch,
): typeof globalThis.fetch {
  const told = checked(options);
  const list = listOf(clusters);
  return async (input, init) => {
    const sessions = currentSessions(list);
    const url = new URL(isRequest(input) ? input.url : input);
    if (sessions.length === 0 || !told.isTold(url)) return fetch(input, init);
    return followed(fetch, input, init, url, sessions, told);
  };
}

/** One request, and those that redirects make of it. */
async function followed(
  fetch: typeof globalThis.fetch,
  input: string | URL | Request,
  init: RequestInit | undefined,
  url: URL,
  sessions: readonly CarriedSession[],
  { header, isTold }: Told,
): Promise<Response> {
  const request = isRequest(input) ? input : undefined;
  const redirect = init?.redirect ?? request?.redirect ?? 'follow';
  const isFollowing = redirect === 'follow';
  const given = init?.body ?? undefined;
  const hasBody = given !== undefined || (request?.body ?? null) !== null;
  // Its own is used up by the first step.
  const spare = isFollowing && given === undefined && hasBody ? request?.clone().body : undefined;
  const kept = spare ? new KeptBody(spare) : undefined;
  try {
    let step: Step = {
      url,
      method: (init?.method ?? request?.method ?? 'GET').toUpperCase(),
      headers: new Headers(init?.headers ?? request?.headers),
      hasBody,
    };
    for (let count = 0; ; count++) {
      const isNamed = isTold(step.url);
      // One that the caller has set is not for others either.
      if (isNamed) step.headers.set(header, await tokensOf(sessions));
      else step.headers.delete(header);
      const own = { headers: step.headers, redirect: isFollowing ? 'manual' : redirect } as const;
      const response =
        count === 0
          ? await fetch(input, { ...init, ...own })
          : await fetch(step.url.href, {
              ...fieldsOf(request),
              ...init,
              ...own,
              method: step.method,
              body: bodyOf(step),
            });
      // A fetch that was handed in may have gone on all the same.
      const hasLeft = response.redirected && !(URL.canParse(response.url) && isTold(new URL(response.url)));
      if (isNamed && !hasLeft) fold(sessions, response.headers.get(header));
      const next = isFollowing ? nextStep(step, response, count) : undefined;
      if (next === undefined) return count === 0 ? response : redirected(response);
      await response.body?.cancel();
      // Fetch asks that even where the next step has none.
      if (response.status !== 303 && step.hasBody && isUsedUp(given)) throw failed(SENT_ONCE);
      step = next;
    }
  } finally {
    kept?.drop();
  }

  function bodyOf(step: Step): NonNullable<RequestInit['body']> | null {
    if (!step.hasBody) return null;
    const body = given ?? kept?.bytes;
    if (body === undefined) throw failed(SENT_ONCE);
    return body;
  }
}

/** What a request says beside what each step has of its own. */
function fieldsOf(request: Request | undefined): RequestInit {
  if (request === undefined) return {};
  const { signal, credentials, keepalive, referrerPolicy } = request;
  return { signal, credentials, keepalive, referrerPolicy };
}

/** As fetch marks an answer that came after a redirect. */
function redirected(response: Response): Response {
  return Object.defineProperty(response, 'redirected', { value: true, configurable: true, enumerable: true });
}

/**
 * The same as an interceptor for undici 7:
 * `new Agent().compose(sessionInterceptor(cluster, { origins }))`. An interceptor that follows
 * redirects comes after it, `compose(sessionInterceptor(…), interceptors.redirect(…))`, so that
 * each step is looked at by itself; below it, a redirect is an error, since the token would go
 * along.
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function sessionInterceptor(clusters: Clusters, options: ServiceOptions) {
  const { header, isTold } = checked(options);
  const list = listOf(clusters);
  return <D extends (options: never, handler: never) => boolean>(inner: D): D => {
    const dispatch = inner as unknown as Dispatch;
    const own: Dispatch = (request, handler) => {
      const sessions = currentSessions(list);
      if (sessions.length === 0 || request.origin === undefined || !isTold(new URL(request.origin)))
        return dispatch(request, handler);
      tokensOf(sessions)
        .then((token) => {
          dispatch({ ...request, headers: withHeader(request.headers, header, token) }, folding(sessions));
        })
        .catch((error: unknown) => handler.onResponseError?.(null as never, error as Error));
      return true;

      function folding(to: readonly CarriedSession[]): Handler {
        return {
          onRequestStart: (controller, context) => {
            if (isOnTheWay(context)) controller.abort(invalidOptions(COMPOSED_BELOW));
            else handler.onRequestStart?.(controller as never, context as never);
          },
          onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
          onResponseStart: (controller, statusCode, headers, statusMessage) => {
            fold(to, headers[header]);
            handler.onResponseStart?.(controller, statusCode, headers, statusMessage);
          },
          onResponseData: (...args) => handler.onResponseData?.(...args),
          onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
          onResponseError: (...args) => handler.onResponseError?.(...args),
        };
      }
    };
    return own as unknown as D;
  };
}

/** Which servers get the token, and in which header. */
interface Told {
  readonly header: string;
  readonly isTold: (url: URL) => boolean;
}

function checked({ origins, header = TOKEN_HEADER }: ServiceOptions): Told {
  if (!Array.isArray(origins))
    throw invalidOptions('services: origins: expected a list, such as ["https://orders.internal"]');
  const told = new Set<string>();
  for (const origin of origins as readonly string[]) {
    const url = URL.canParse(origin) ? new URL(origin) : undefined;
    if (url === undefined || url.origin === 'null' || url.href !== `${url.origin}/`) {
      // A login or a query in it must not appear in the error.
      const named = String(origin).includes('@') ? (url?.origin ?? 'text that is none') : String(origin);
      throw invalidOptions(
        `services: origins: expected scheme, host and port only, such as https://orders.internal, got "${named.replace(/=[^&]*/g, '=…')}"`,
      );
    }
    told.add(url.origin);
  }
  // A `blob:` URL has the origin of the page that made it.
  const isTold = ({ protocol, origin }: URL): boolean => protocol !== 'blob:' && told.has(origin);
  return { header: header.toLowerCase(), isTold };
}

async function tokensOf(sessions: readonly CarriedSession[]): Promise<string> {
  const tokens = await Promise.all(sessions.map(tokenOf));
  const told = tokens.filter((token) => token !== NOTHING);
  return told.length === 0 ? NOTHING : told.join(SEPARATOR);
}

/** What could not be told in time keeps the other service's reads on the primary. */
async function tokenOf(session: CarriedSession): Promise<string> {
  session.applyTokens();
  const { carrier, hasMoved, isPinned } = session;
  if (!carrier.hasTokens()) return hasMoved || isPinned ? session.primaryOnlyToken() : NOTHING;
  const token = await session.token().catch(() => session.primaryOnlyToken());
  // A session that is kept on the primary keeps the services that it calls there, too, for the same
  // time.
  return isPinned ? [session.pinnedBy() ?? session.primaryOnlyToken(), token].join(SEPARATOR) : token;
}

function fold(sessions: readonly CarriedSession[], value: string | string[] | null | undefined): void {
  // One that was sent twice comes with a comma.
  if (value === null || value === undefined) return;
  const all = sessions.map(({ carrier }) => carrier);
  const candidates = new Candidates(tokenTest(all));
  for (const one of [value].flat()) candidates.add(one);
  all[0]?.countMalformed(candidates.malformedCount);
  for (const session of sessions) {
    for (const token of tokensFor(session.carrier, all, candidates.tokens)) session.observe(token);
  }
}

/** Whether something below follows a redirect, and does not tell where it leads. */
function isOnTheWay(context: unknown): boolean {
  const { history } = Object(context) as { history?: unknown };
  return Array.isArray(history) && history.length > 0;
}

/** Undici's own class is another one than the global one. */
function isRequest(input: string | URL | Request): input is Request {
  return typeof input === 'object' && 'url' in input;
}

/** Undici takes headers as a flat list, as something iterable, or by their names. */
function withHeader(headers: unknown, name: string, value: string): unknown {
  if (Array.isArray(headers)) return [...(headers as unknown[]), name, value];
  const pairs = headers as Iterable<unknown> | undefined;
  if (typeof pairs?.[Symbol.iterator] !== 'function') return { ...(headers as object | undefined), [name]: value };
  return {
    *[Symbol.iterator]() {
      yield* pairs;
      yield [name, value];
    },
  };
}
