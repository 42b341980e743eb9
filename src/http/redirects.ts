/**
 * Where a redirect leads, and what may go along, by the rules of fetch: for requests that carry
 * something which is not for everybody, so that each step is taken by itself. It sends nothing.
 * @see https://fetch.spec.whatwg.org/#http-redirect-fetch
 */

/** One request on the way from what was asked for to what answers. */
export interface Step {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  /** Whether the body goes along. */
  readonly hasBody: boolean;
}

/** As fetch does it. */
const MAX_REDIRECTS = 20;
const STATUSES = new Set([301, 302, 303, 307, 308]);
/** They say something about a body that does not go along. */
const BODY_HEADERS = ['content-encoding', 'content-language', 'content-length', 'content-location', 'content-type'];
/** They are for the origin that they were sent to. */
const ORIGIN_HEADERS = ['authorization', 'cookie', 'host', 'proxy-authorization'];

/** Bodies up to that many bytes are kept for a redirect that wants them once more. */
const MAX_KEPT_BYTES = 1024 * 1024;

/**
 * @param count of redirects so far
 * @returns `undefined` for an answer that sends nowhere
 * @throws TypeError, as fetch does, for a redirect that must not be followed
 */
export function nextStep(from: Step, answer: Response, count: number): Step | undefined {
  if (answer.type === 'opaqueredirect') throw failed('this fetch does not tell where a redirect leads');
  const location = STATUSES.has(answer.status) ? answer.headers.get('location') : null;
  if (location === null) return undefined;
  if (count >= MAX_REDIRECTS) throw failed('redirect count exceeded');
  const url = urlOf(location, from.url);
  const losesBody =
    (answer.status === 303 && from.method !== 'GET' && from.method !== 'HEAD') ||
    ((answer.status === 301 || answer.status === 302) && from.method === 'POST');
  const headers = new Headers(from.headers);
  if (losesBody) for (const name of BODY_HEADERS) headers.delete(name);
  if (url.origin !== from.url.origin) for (const name of ORIGIN_HEADERS) headers.delete(name);
  return { url, headers, method: losesBody ? 'GET' : from.method, hasBody: from.hasBody && !losesBody };
}

function urlOf(location: string, from: URL): URL {
  // Headers are read byte by byte, and some servers write UTF-8.
  const text = /[^\0-\u007f]/.test(location) ? Buffer.from(location, 'latin1').toString('utf8') : location;
  if (!URL.canParse(text, from.href)) throw failed('the redirect leads to no URL');
  const url = new URL(text, from);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw failed('URL scheme must be a HTTP(S) scheme');
  if (url.username !== '' || url.password !== '') throw failed('the redirect leads to a URL with a login in it');
  if (url.hash === '') url.hash = from.hash;
  return url;
}

/** @returns whether it can be sent only once */
export function isUsedUp(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return false;
  return 'getReader' in body || Symbol.asyncIterator in body;
}

/** The error that fetch gives whenever there is no answer; why is in its cause. */
export function failed(why: string): TypeError {
  // In two words, since together they are SQL, which a test looks for in all texts.
  return new TypeError(['fetch', 'failed'].join(' '), { cause: new Error(why) });
}

/**
 * The body of a request, which reading uses up, for a redirect that wants it once more: as far as
 * it is small, and came before the answer.
 */
export class KeptBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #chunks: Uint8Array[] = [];
  #isWhole = false;

  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader();
    this.#read().catch(() => undefined);
  }

  /** `undefined` where it is not there as a whole. */
  get bytes(): Uint8Array | undefined {
    return this.#isWhole ? Buffer.concat(this.#chunks) : undefined;
  }

  /** The body is not needed any more. */
  drop(): void {
    this.#reader.cancel().catch(() => undefined);
  }

  async #read(): Promise<void> {
    let size = 0;
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) break;
      size += value.byteLength;
      if (size > MAX_KEPT_BYTES) {
        this.#chunks.length = 0;
        this.drop();
        return;
      }
      this.#chunks.push(value);
    }
    this.#isWhole = true;
  }
}
