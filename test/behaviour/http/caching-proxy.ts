/**
 * A small cache before a server, as a CDN is: it keeps answers by their URL for as long as
 * Cache-Control lets it, gives them for a while longer as it fetches new ones, and honours Vary
 * unless it is told not to, as some do.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http';

export interface ProxyOptions {
  /** Whether it keeps answers apart by the fields that Vary names. */
  readonly honoursVary: boolean;
  /** What it lets pass, and keeps no answer of. */
  readonly passes?: (headers: IncomingHttpHeaders) => boolean;
}

interface Kept {
  readonly status: number;
  readonly headers: [string, string][];
  readonly body: string;
  readonly at: number;
  readonly maxAgeMillis: number;
  readonly staleMillis: number;
  /** The fields of the request that the answer goes by. */
  readonly varied: readonly (readonly [string, string])[];
}

export class CachingProxy {
  readonly server: Server;
  readonly #origin: string;
  readonly #options: ProxyOptions;
  readonly #kept = new Map<string, Kept[]>();
  /** Its own clock goes ahead by that. */
  aheadMillis = 0;

  constructor(origin: string, options: ProxyOptions) {
    this.#origin = origin;
    this.#options = options;
    this.server = createServer((request, response) => {
      this.#answer(request).then(
        ({ answer, from }) => {
          response.writeHead(answer.status, [...answer.headers, ['x-from', from]].flat());
          response.end(answer.body);
        },
        () => response.writeHead(502).end(),
      );
    });
  }

  /** Drops what has that surrogate key. */
  purge(key: string): void {
    const has = ({ headers }: Kept): boolean =>
      headers.some(([name, value]) => name === 'surrogate-key' && value.split(' ').includes(key));
    for (const [url, kept] of this.#kept)
      this.#kept.set(
        url,
        kept.filter((one) => !has(one)),
      );
  }

  #now(): number {
    return performance.now() + this.aheadMillis;
  }

  async #answer(request: IncomingMessage): Promise<{ answer: Kept; from: string }> {
    const { method, url = '/', headers } = request;
    const isPassing = method !== 'GET' || this.#options.passes?.(headers) === true;
    if (isPassing) return { answer: await this.#fetch(request), from: 'pass' };
    const kept = this.#kept
      .get(url)
      ?.find(({ varied }) => varied.every(([name, was]) => was === fieldOf(headers, name)));
    const age = kept === undefined ? Number.POSITIVE_INFINITY : this.#now() - kept.at;
    if (kept !== undefined && age < kept.maxAgeMillis) return { answer: kept, from: 'hit' };
    const fetching = this.#fetch(request).then((answer) => {
      const others = (this.#kept.get(url) ?? []).filter((one) => one !== kept);
      this.#kept.set(url, answer.maxAgeMillis + answer.staleMillis > 0 ? [...others, answer] : others);
      return answer;
    });
    if (kept !== undefined && age < kept.maxAgeMillis + kept.staleMillis) return { answer: kept, from: 'stale' };
    return { answer: await fetching, from: 'miss' };
  }

  async #fetch({ method = 'GET', url = '/', headers }: IncomingMessage): Promise<Kept> {
    const at = this.#now();
    const { host: _host, connection: _connection, ...sent } = headers;
    const response = await fetch(this.#origin + url, { method, headers: sent as Record<string, string> });
    const control = response.headers.get('cache-control') ?? '';
    const isOpen = /\bpublic\b/.test(control) && !response.headers.has('set-cookie');
    const names = this.#options.honoursVary ? (response.headers.get('vary') ?? '').toLowerCase().split(/\s*,\s*/) : [];
    return {
      status: response.status,
      headers: [...response.headers].filter(([name]) => name !== 'transfer-encoding' && name !== 'connection'),
      body: await response.text(),
      at,
      maxAgeMillis: isOpen ? millisOf(control, 'max-age') : 0,
      staleMillis: isOpen ? millisOf(control, 'stale-while-revalidate') : 0,
      varied: names.filter((name) => name !== '').map((name) => [name, fieldOf(headers, name)]),
    };
  }
}

function fieldOf(headers: IncomingHttpHeaders, name: string): string {
  return String(headers[name] ?? '');
}

function millisOf(control: string, directive: string): number {
  return Number(new RegExp(`\\b${directive}=(\\d+)`).exec(control)?.[1] ?? 0) * 1_000;
}
