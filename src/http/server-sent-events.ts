/**
 * Sends the states of a live query to a browser, as server-sent events. The id of an event is the
 * state's: a client that comes back with it, to whichever process, is told whether it has missed
 * anything. It keeps one event at most: a slow client gets newer states only.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { QueryResultRow } from 'pg';
import { z } from 'zod';
import { clearTimeout, setTimeout } from '../clock.js';
import { LadderError } from '../errors.js';
import type { Watch, WatchedState } from '../live/watch.js';
import { check, optionsOf, positiveMillis } from '../options/check.js';
import { AbortController } from '../signals.js';
import { PRIVATE } from './sharing.js';

/** What the watch of a client begins with: pass it on to `cluster.watch`. */
export interface EventStart {
  /** The id of the last event that the client has; `undefined` where it has none. */
  readonly since: string | undefined;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** Begins the watch of one client, such as `(start) => cluster.watch(text, values, start)`. */
export type OpenWatch<Row extends QueryResultRow> = (start: EventStart) => Watch<Row>;

/** What an event tells of a state, as JSON. */
export interface SentState<Row extends QueryResultRow> {
  readonly rows: readonly Row[];
  /**
   * Of the first event, where the client had an id: whether it may have missed anything meanwhile.
   * Not there in other events.
   */
  readonly missed?: boolean;
  /** With `diff`, see `WatchedState`. */
  readonly changes?: WatchedState<Row>['changes'];
}

/** Options of {@link serverSentEvents}. */
export interface ServerSentEventsOptions<Row extends QueryResultRow = QueryResultRow> {
  /**
   * What an event tells: it becomes JSON. Default: the state's `rows`, its `changes` where there
   * are any, and `missed`.
   */
  data?: ((sent: SentState<Row>, state: WatchedState<Row>) => unknown) | undefined;
  /**
   * How long it may be silent, in milliseconds, above 0: then it sends a comment, so that proxies
   * keep the connection. Default 15,000.
   */
  heartbeatMillis?: number | undefined;
  /** After how long a browser comes back that has lost it, in milliseconds, above 0. Default 2,000. */
  retryMillis?: number | undefined;
  /**
   * The id of the last event that the client has, where it does not come in `Last-Event-ID`: a page
   * that was loaded anew may pass it in the URL.
   */
  lastEventId?: string | undefined;
}

const schema = optionsOf({
  data: z.custom<NonNullable<ServerSentEventsOptions['data']>>((value) => typeof value === 'function').optional(),
  heartbeatMillis: positiveMillis.default(15_000),
  retryMillis: positiveMillis.default(2_000),
  // Anything but an id is one of another query.
  lastEventId: z.unknown().optional(),
});

const HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  // A proxy that compresses may wait for more before it passes anything on; nginx has a word for that.
  'Cache-Control': `${PRIVATE}, no-transform`,
  'X-Accel-Buffering': 'no',
};

/** A client that takes nothing for so long is gone, or as good as that. */
const STALLED_MILLIS = 60_000;
const ID = /^[\w.-]{1,64}$/;
const COMMENT = ':\n\n';

/**
 * Answers a request with the states of a live query, until the client goes or the watch ends. The
 * head leaves with the first event, so that a statement which is refused can still become a 500.
 * @param open begins the watch: pass on what it is given, `(start) => cluster.watch(text, values, start)`
 * @returns a promise that resolves when the response has ended
 * @throws what the watch throws, and LadderError `LADDER_INVALID_OPTIONS`. Where `response.headersSent`
 * is true then, the client comes back by itself
 */
export async function serverSentEvents<Row extends QueryResultRow>(
  request: IncomingMessage,
  response: ServerResponse,
  open: OpenWatch<Row>,
  options: ServerSentEventsOptions<Row> = {},
): Promise<void> {
  const events = new Events(open, request.headers['last-event-id'], options);
  if (request.method === 'HEAD') {
    response.writeHead(200, HEADERS).end();
    return;
  }
  const gone = (): void => events.close();
  response.on('close', gone);
  response.on('error', gone);
  try {
    if (response.destroyed) return;
    for await (const text of events.begin()) {
      if (!response.headersSent) response.writeHead(200, HEADERS);
      if (!response.write(text)) await drained(response);
    }
    if (response.headersSent) response.end();
    else response.writeHead(200, HEADERS).end();
  } catch (error) {
    if (response.headersSent) response.destroy();
    throw error;
  } finally {
    events.close();
    response.off('close', gone);
  }
}

/**
 * Like {@link serverSentEvents}, for frameworks that take a web `Response`.
 * @returns once there is something to send
 * @throws what the watch throws before, and LadderError `LADDER_INVALID_OPTIONS`
 */
export async function serverSentEventsResponse<Row extends QueryResultRow>(
  request: Request,
  open: OpenWatch<Row>,
  options: ServerSentEventsOptions<Row> = {},
): Promise<Response> {
  const events = new Events(open, request.headers.get('last-event-id') ?? undefined, options);
  if (request.method === 'HEAD') return new Response(null, { headers: HEADERS });
  const gone = (): void => events.close();
  request.signal.addEventListener('abort', gone, { once: true });
  if (request.signal.aborted) gone();
  const texts = events.begin();
  const utf8 = new TextEncoder();
  let first: IteratorResult<string, void> | undefined;
  const over = (): void => {
    events.close();
    request.signal.removeEventListener('abort', gone);
  };
  try {
    first = await texts.next();
  } catch (error) {
    over();
    throw error;
  }
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = first ?? (await texts.next());
        first = undefined;
        if (done !== true) {
          controller.enqueue(utf8.encode(value));
          return;
        }
        over();
        controller.close();
      },
      cancel: over,
    },
    // Nothing is made before it is asked for: then it is the newest.
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: HEADERS });
}

/** The text of one client's events, each made when it is asked for. */
class Events<Row extends QueryResultRow> {
  readonly #open: OpenWatch<Row>;
  readonly #options: z.infer<typeof schema>;
  /** Whether the client said what it has, in whatever words. */
  readonly #hasCome: boolean;
  readonly #since: string | undefined;
  readonly #controller = new AbortController();
  #watch: Watch<Row> | undefined;
  #wake: (() => void) | undefined;

  constructor(open: OpenWatch<Row>, header: unknown, options: ServerSentEventsOptions<Row>) {
    this.#open = open;
    this.#options = check(schema, options, 'serverSentEvents');
    const given = header ?? this.#options.lastEventId;
    this.#hasCome = given !== undefined && given !== '';
    this.#since = typeof given === 'string' && ID.test(given) ? given : undefined;
  }

  async *begin(): AsyncGenerator<string, void, void> {
    const { signal } = this.#controller;
    if (signal.aborted) return;
    const watch = this.#open({ since: this.#since, signal });
    this.#watch = watch;
    let isFirst = true;
    let next: Promise<IteratorResult<WatchedState<Row>, undefined>> | undefined;
    try {
      while (!signal.aborted) {
        // Asked for only now: whatever came before the client was ready for it is not sent.
        next ??= watch.next();
        const result = await this.#within(next);
        if (result === undefined) {
          if (!signal.aborted) yield COMMENT;
          continue;
        }
        next = undefined;
        if (result.done === true) return;
        const text = this.#text(result.value, isFirst);
        isFirst = false;
        yield text;
      }
    } finally {
      // It may still fail, and nobody waits for it any more.
      next?.catch(() => undefined);
      this.close();
    }
  }

  /** Ends the watch. */
  close(): void {
    this.#controller.abort(new LadderError('LADDER_CLOSED', 'serverSentEvents: the client has gone'));
    this.#wake?.();
    const watch = this.#watch;
    this.#watch = undefined;
    watch?.return().catch(() => undefined);
  }

  /** What comes within the time of a heartbeat; `undefined` when nothing does, or it was closed. */
  async #within<T>(next: Promise<T>): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), this.#options.heartbeatMillis);
      this.#wake = () => resolve(undefined);
    });
    try {
      return await Promise.race([next, silence]);
    } finally {
      clearTimeout(timer);
      this.#wake = undefined;
    }
  }

  #text(state: WatchedState<Row>, isFirst: boolean): string {
    const { rows, changes } = state;
    // What is no id of this query says nothing of what its client has seen.
    const missed = isFirst && this.#hasCome ? { missed: state.missed ?? true } : {};
    const sent: SentState<Row> = { rows, ...missed, ...(changes === undefined ? {} : { changes }) };
    const { data, retryMillis } = this.#options;
    const told = data === undefined ? sent : (data as NonNullable<ServerSentEventsOptions<Row>['data']>)(sent, state);
    const id = ID.test(state.id) ? `id: ${state.id}\n` : '';
    // JSON holds no line break.
    return `${isFirst ? `retry: ${Math.ceil(retryMillis)}\n` : ''}${id}data: ${JSON.stringify(told) ?? 'null'}\n\n`;
  }
}

/** Resolves when the client has taken what was sent, or has gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      response.off('drain', over);
      response.off('close', over);
      resolve();
    };
    const timer = setTimeout(() => response.destroy(), STALLED_MILLIS);
    response.on('drain', over);
    response.on('close', over);
    if (response.destroyed) over();
  });
}
