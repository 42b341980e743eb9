/** Sessions that travel to other services and back: the token goes along with what is asked of them, and what their answers carry is folded in. */
import type { Cluster } from '../cluster.js';
import { invalidOptions } from '../errors.js';
import { Candidates } from './candidates.js';
import { type CarriedSession, TOKEN_HEADER } from './session.js';
import { SEPARATOR } from './token-store.js';

export interface ServiceOptions {
  /** Of the services that are told: scheme, host and port, such as `https://orders.internal:8443`. Nobody else gets a token. */
  origins: readonly string[];
  /** Default `pg-ladder-token`. */
  header?: string;
}

/** Asks for the answer's token, and has none to send. */
const NOTHING = '-';

/** What undici's interceptors are made of, as far as it matters here (7.x). */
type Dispatch = (options: DispatchOptions, handler: Handler) => boolean;
interface DispatchOptions {
  readonly origin?: string | URL | undefined;
  readonly headers?: unknown;
}
interface Handler {
  onRequestStart?(...args: never[]): void;
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
 * `fetch` that sends the calling code's session along to the services of `origins`, and takes in what their answers carry. A redirect takes the header along, as
 * fetch does with every header.
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function sessionFetch(
  cluster: Cluster,
  options: ServiceOptions,
  fetch: typeof globalThis.fetch = globalThis.fetch,
): typeof globalThis.fetch {
  const { header, isTold } = checked(options);
  return async (input, init) => {
    const session = cluster.currentSession() as CarriedSession | undefined;
    const url = new URL(isRequest(input) ? input.url : input);
    if (session === undefined || !isTold(url)) return fetch(input, init);
    const headers = new Headers(init?.headers ?? (isRequest(input) ? input.headers : undefined));
    headers.set(header, await tokenOf(session));
    const response = await fetch(input, { ...init, headers });
    fold(session, response.headers.get(header));
    return response;
  };
}

/**
 * The same as an interceptor for undici 7: `new Agent().compose(sessionInterceptor(cluster, { origins }))`.
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function sessionInterceptor(cluster: Cluster, options: ServiceOptions) {
  const { header, isTold } = checked(options);
  return <D extends (options: never, handler: never) => boolean>(inner: D): D => {
    const dispatch = inner as unknown as Dispatch;
    const own: Dispatch = (request, handler) => {
      const session = cluster.currentSession() as CarriedSession | undefined;
      if (session === undefined || request.origin === undefined || !isTold(new URL(request.origin)))
        return dispatch(request, handler);
      tokenOf(session)
        .then((token) => {
          dispatch({ ...request, headers: withHeader(request.headers, header, token) }, folding(session));
        })
        .catch((error: unknown) => handler.onResponseError?.(null as never, error as Error));
      return true;

      function folding(to: CarriedSession): Handler {
        return {
          onRequestStart: (...args) => handler.onRequestStart?.(...args),
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

function checked({ origins, header = TOKEN_HEADER }: ServiceOptions): {
  readonly header: string;
  readonly isTold: (url: URL) => boolean;
} {
  if (!Array.isArray(origins))
    throw invalidOptions('services: origins: expected a list, such as ["https://orders.internal"]');
  const told = new Set<string>();
  for (const origin of origins as readonly string[]) {
    const url = URL.canParse(origin) ? new URL(origin) : undefined;
    if (url === undefined || url.origin === 'null' || url.href !== `${url.origin}/`) {
      // A login in it, or what a query says, is nobody's business.
      const named = String(origin).includes('@') ? (url?.origin ?? 'text that is none') : String(origin);
      throw invalidOptions(
        `services: origins: expected scheme, host and port only, such as https://orders.internal, got "${named.replace(/=[^&]*/g, '=…')}"`,
      );
    }
    told.add(url.origin);
  }
  return { header: header.toLowerCase(), isTold: (url) => told.has(url.origin) };
}

/** What could not be told in time keeps the other service's reads on the primary. */
async function tokenOf(session: CarriedSession): Promise<string> {
  session.settle();
  const { carrier, hasMoved, isPinned } = session;
  if (!carrier.hasTokens()) return hasMoved || isPinned ? session.primaryOnlyToken() : NOTHING;
  const token = await session.token().catch(() => session.primaryOnlyToken());
  // Whoever kept this one on the primary means those it asks, too, and for no longer.
  return isPinned ? [session.pinnedBy() ?? session.primaryOnlyToken(), token].join(SEPARATOR) : token;
}

function fold(session: CarriedSession, value: string | string[] | null | undefined): void {
  // One that was sent twice comes with a comma.
  if (value === null || value === undefined) return;
  const { isToken, countMalformed } = session.carrier;
  const candidates = new Candidates(isToken);
  for (const one of [value].flat()) candidates.add(one);
  countMalformed(candidates.malformedCount);
  for (const token of candidates.tokens) session.observe(token);
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
