/** A live query that a test plays, and a server that sends it to clients. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as requestOf, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import { type EventStart, type ServerSentEventsOptions, serverSentEvents } from '../../../src/http/sessions.js';
import type { Watch, WatchedState } from '../../../src/index.js';
import { until } from '../../behaviour/fixture.js';

export interface Row {
  readonly n: number;
}

/** Gives the newest state that was set, once. */
export class PlayedWatch implements Watch<Row> {
  readonly since: string | undefined;
  readonly signal: AbortSignal;
  takenCount = 0;
  hasEnded = false;
  #newest: WatchedState<Row> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  constructor({ since, signal }: EventStart) {
    this.since = since;
    this.signal = signal;
  }

  set(n: number, more: Partial<WatchedState<Row>> = {}): void {
    this.#newest = {
      rows: [{ n }],
      id: `id-${n}`,
      missed: undefined,
      changes: undefined,
      ...more,
    } as WatchedState<Row>;
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  end(): void {
    this.hasEnded = true;
    this.#wake();
  }

  async next(): Promise<IteratorResult<WatchedState<Row>, undefined>> {
    while (this.#newest === undefined && !this.hasEnded && this.#failure === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#failure !== undefined) throw this.#failure.error;
    const value = this.#newest;
    this.#newest = undefined;
    if (this.hasEnded || value === undefined) return { done: true, value: undefined };
    this.takenCount++;
    return { done: false, value };
  }

  async return(): Promise<IteratorResult<WatchedState<Row>, undefined>> {
    this.end();
    return { done: true, value: undefined };
  }

  includes(): boolean {
    return false;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
  }
}

const closers: (() => Promise<unknown>)[] = [];

/** Ends all servers after each test. */
export function closesServers(): void {
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
}

export interface Served {
  readonly url: string;
  readonly port: number;
  /** One for each request. */
  readonly watches: PlayedWatch[];
  readonly responses: ServerResponse[];
  readonly outcomes: unknown[];
}

export async function serve(options: ServerSentEventsOptions<Row> = {}): Promise<Served> {
  const watches: PlayedWatch[] = [];
  const responses: ServerResponse[] = [];
  const outcomes: unknown[] = [];
  const server = createServer((request, response) => {
    responses.push(response);
    const open = (start: EventStart): Watch<Row> => {
      const watch = new PlayedWatch(start);
      watches.push(watch);
      return watch;
    };
    serverSentEvents(request, response, open, options).then(
      () => outcomes.push('over'),
      (error: unknown) => {
        outcomes.push(error);
        if (!response.headersSent) response.writeHead(500).end();
      },
    );
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, port, watches, responses, outcomes };
}

export interface Client {
  readonly response: IncomingMessage;
  readonly text: () => string;
  leave(): void;
}

/** @param first the state that the watch has by then */
export async function get(served: Served, headers: Record<string, string | string[]>, first: number): Promise<Client> {
  const count = served.watches.length;
  const request = requestOf(served.url, { headers });
  request.on('error', () => undefined);
  request.end();
  await until('it watches', () => served.watches.length > count);
  served.watches[count]?.set(first);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  response.on('error', () => undefined);
  return { response, text: () => text, leave: () => request.destroy() };
}
