/**
 * What one listener has heard and not taken yet: an async iterator whose buffer is bounded. Where
 * something may be missing, a gap stands in its place. It knows no connection.
 */
import { performance } from '../clock.js';
import { LadderError } from '../errors.js';
import type { ListenSettings } from '../options/listen.js';
import { allowMany } from '../signals.js';

/** What somebody has sent with NOTIFY. */
export interface HeardNotification {
  readonly kind: 'notification';
  readonly channel: string;
  /** Empty where it was sent without one. */
  readonly payload: string;
  /** The server's process that has sent it. */
  readonly processId: number;
}

/** Notifications may be missing here. Read again whatever they would have told of. */
export interface ListenGap {
  readonly kind: 'gap';
  /**
   * - `reconnected`: the connection was lost, or the primary is another one. It listens again, so
   *   that what is sent from now on is heard.
   * - `overflow`: the loop was too slow, and its buffer full.
   */
  readonly cause: 'reconnected' | 'overflow';
  /** How long ago the first one that is missing may have been sent, in milliseconds. */
  readonly sinceMillis: number;
}

/** What a loop over a {@link Listening} gets: tell the two by `kind`. */
export type ListenItem = HeardNotification | ListenGap;

/** The notifications of one channel, made by `cluster.listen`. Loop over it; leaving the loop ends it. */
export interface Listening extends AsyncIterable<ListenItem>, AsyncDisposable {
  /** As it was given. */
  readonly channel: string;
  /**
   * Resolves when the server listens: everything that is sent afterwards is heard, or a gap tells
   * that it may be missing. It waits as long as there is no primary. It rejects when the listening
   * ends before: with the signal's reason, or LadderError `LADDER_CLOSED` or `LADDER_CANNOT_LISTEN`.
   */
  readonly ready: Promise<void>;
  /** The next item, when there is one. @throws LadderError `LADDER_CANNOT_LISTEN` */
  next(): Promise<IteratorResult<ListenItem, undefined>>;
  /** Ends it. */
  return(): Promise<IteratorResult<ListenItem, undefined>>;
  [Symbol.asyncIterator](): Listening;
}

/** As it is kept: how long ago that is, is told when it is taken. */
interface KeptGap {
  readonly kind: 'gap';
  cause: ListenGap['cause'];
  since: number;
}

interface Waiter {
  resolve(result: IteratorResult<ListenItem, undefined>): void;
  reject(error: unknown): void;
}

/** So much is taken off the front of the buffer at a time. */
const TRIM_COUNT = 1_024;

export class Listener implements Listening {
  readonly channel: string;
  readonly ready: Promise<void>;
  readonly #settings: ListenSettings;
  readonly #onEnd: (listener: Listener) => void;
  #items: (HeardNotification | KeptGap)[] = [];
  /** Those before have been taken. */
  #head = 0;
  readonly #waiters: Waiter[] = [];
  #becomeReady: () => void = () => undefined;
  #failReady: (reason: unknown) => void = () => undefined;
  #isInForce = false;
  /** When it was last known to hear all; `undefined` before it ever has, and while it does. */
  #lostAt: number | undefined;
  #isOver = false;
  #failure: { readonly error: unknown } | undefined;

  /** @param onEnd called once, when it has ended, for whatever reason */
  constructor(channel: string, settings: ListenSettings, onEnd: (listener: Listener) => void) {
    this.channel = channel;
    this.#settings = settings;
    this.#onEnd = onEnd;
    this.ready = new Promise((resolve, reject) => {
      this.#becomeReady = resolve;
      this.#failReady = reject;
    });
    // Most loops do not look at it.
    this.ready.catch(() => undefined);
    const { signal } = settings;
    if (signal === undefined) return;
    allowMany(signal);
    signal.addEventListener('abort', this.#abort, { once: true });
  }

  readonly #abort = (): void => this.end(this.#settings.signal?.reason);

  /** The server listens on its channel. */
  inForce(): void {
    if (this.#isInForce || this.#isOver) return;
    this.#isInForce = true;
    if (this.#lostAt !== undefined) this.#miss('reconnected', this.#lostAt);
    this.#lostAt = undefined;
    this.#becomeReady();
  }

  /** The server may not listen any more. @param since up to when all was heard */
  lost(since: number): void {
    if (!this.#isInForce) return;
    this.#isInForce = false;
    this.#lostAt = since;
  }

  heard(notification: HeardNotification): void {
    if (!this.#isInForce || this.#isOver) return;
    if (this.#waiters.length === 0 && this.#count >= this.#settings.bufferSize)
      this.#miss('overflow', performance.now());
    else this.#put(notification);
  }

  /** Ends it without an error. @param reason of which `ready` rejects where it never was */
  end(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#settings.signal?.removeEventListener('abort', this.#abort);
    this.#failReady(reason);
    this.#items = [];
    for (const waiter of this.#waiters.splice(0)) waiter.resolve({ done: true, value: undefined });
    this.#onEnd(this);
  }

  /** Ends it with an error, which whoever takes the next item gets. */
  fail(error: LadderError): void {
    if (this.#isOver) return;
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#failure = { error };
    else waiter.reject(error);
    this.end(error);
  }

  next(): Promise<IteratorResult<ListenItem, undefined>> {
    if (this.#failure !== undefined) {
      const { error } = this.#failure;
      this.#failure = undefined;
      return Promise.reject(error);
    }
    if (this.#isOver) return Promise.resolve({ done: true, value: undefined });
    if (this.#count > 0) return Promise.resolve({ done: false, value: this.#take() });
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<ListenItem, undefined>> {
    this.end(new LadderError('LADDER_CLOSED', 'listen: it was ended before the server listened'));
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  get #count(): number {
    return this.#items.length - this.#head;
  }

  /** Two gaps with nothing between are one: the buffer holds at most one more than its size. */
  #miss(cause: ListenGap['cause'], since: number): void {
    const last = this.#count > 0 ? this.#items.at(-1) : undefined;
    if (last?.kind !== 'gap') {
      this.#put({ kind: 'gap', cause, since });
      return;
    }
    last.since = Math.min(last.since, since);
    if (cause === 'reconnected') last.cause = cause;
  }

  #put(item: HeardNotification | KeptGap): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#items.push(item);
    else waiter.resolve({ done: false, value: shown(item) });
  }

  #take(): ListenItem {
    const item = this.#items[this.#head++] as HeardNotification | KeptGap;
    if (this.#head === this.#items.length || this.#head >= TRIM_COUNT) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return shown(item);
  }
}

function shown(item: HeardNotification | KeptGap): ListenItem {
  if (item.kind === 'notification') return item;
  return { kind: 'gap', cause: item.cause, sinceMillis: performance.now() - item.since };
}
