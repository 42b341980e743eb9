/**
 * Tells changes by triggers that notify, for systems whose log cannot be read (`wal_level` is not
 * `logical`). Each process hears them on one connection to the primary. A gap is never made good, it
 * begins anew. It goes on trying by itself, and leaves nothing behind on any server.
 */
import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { inBackground } from '../async-context.js';
import type { ChangeHandler, ChangeSource, ChangeSubscription } from '../change-source.js';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { abortable } from '../deadline.js';
import { codeOf, NoAnswer } from '../postgres/errors.js';
import { AbortController, allowMany } from '../signals.js';
import { NotifyConnection } from './notify-connection.js';
import { listenOn, NOTIFY_SERVER, NOTIFY_SETTINGS } from './notify-statements.js';
import { NotifyStream } from './notify-stream.js';
import { SourceFault, wordsFor } from './source-fault.js';
import type { SourceGround, SourceNode } from './source-ground.js';
import { WATCH_CLIENT } from './source-statements.js';

export interface NotifySourceOptions {
  /** Tables that have to be told, as `schema.name`: without one of them nothing is. Default: whichever have the triggers. */
  readonly tables?: readonly string[] | undefined;
  /** Between two watermarks, at least. Default 50 ms. */
  readonly intervalMillis?: number | undefined;
  /** Whether somebody wants to know how far all is told. Default: always. */
  readonly isWanted?: (() => boolean) | undefined;
}

/** Another try after a failure: at first soon, then less often. */
const [FIRST_RETRY_MILLIS, LAST_RETRY_MILLIS] = [100, 2_000];
/** Longer than a statement may wait for a lock. */
const ANSWER_MILLIS = 4_000;
const INTERVAL_MILLIS = 50;
/** While the primary is not known yet: after so long, that is a fault. */
const SETTLE_MILLIS = 3_000;
const SETTLE_LOOK_MILLIS = 50;

/** By SQLSTATE, where it means another thing than to one who reads the log. */
const WORDS: Readonly<Record<string, string>> = {
  '28000': 'the role may not connect',
  '42501': 'the role has no right to listen, or to read the catalogue',
  '53300': 'the server has no connection left (max_connections)',
};

interface ServerRow {
  readonly in_recovery?: unknown;
  readonly cluster_id?: unknown;
  readonly wal_file?: unknown;
  readonly block_bytes?: unknown;
  readonly segment_bytes?: unknown;
}

export class NotifySource implements ChangeSource {
  readonly #ground: SourceGround;
  readonly #options: NotifySourceOptions;

  constructor(ground: SourceGround, options: NotifySourceOptions = {}) {
    this.#ground = ground;
    this.#options = options;
  }

  subscribe(handler: ChangeHandler): ChangeSubscription {
    return new NotifySubscription(this.#ground, this.#options, handler);
  }
}

class NotifySubscription implements ChangeSubscription {
  readonly #ground: SourceGround;
  readonly #options: NotifySourceOptions;
  readonly #handler: ChangeHandler;
  readonly #running: Promise<void>;
  readonly #closing = new AbortController();
  #isClosed = false;
  #connection: NotifyConnection | undefined;
  #hasBegun = false;
  #told: string | undefined;
  #wake: () => void = () => undefined;

  constructor(ground: SourceGround, options: NotifySourceOptions, handler: ChangeHandler) {
    this.#ground = ground;
    this.#options = options;
    this.#handler = handler;
    allowMany(this.#closing.signal);
    this.#running = inBackground(() => this.#run());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake();
    this.#closing.abort();
    await this.#connection?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Nothing is told before `subscribe` has returned.
    await Promise.resolve();
    for (let failureCount = 0; !this.#isClosed; failureCount++) {
      this.#hasBegun = false;
      const words = wordsOf(await this.#once());
      if (this.#hasBegun) failureCount = 0;
      if (!this.#isClosed && words !== this.#told) this.#handler.broken(words);
      this.#told = words;
      await this.#pause(backoff(failureCount));
    }
  }

  /** Tells changes as long as it can. @returns what went wrong */
  async #once(): Promise<unknown> {
    let fault: unknown;
    try {
      const node = await this.#node();
      const { epoch } = this.#ground.history;
      this.#connection = await this.#opened(node.pool);
      await this.#tell(this.#connection, () => !this.#isClosed && epoch === this.#ground.history.epoch);
    } catch (error) {
      fault = error;
    }
    const connection = this.#connection;
    this.#connection = undefined;
    if (fault instanceof NoAnswer) connection?.drop();
    else await connection?.close();
    return fault;
  }

  async #node(): Promise<SourceNode> {
    const since = performance.now();
    for (;;) {
      const { history, leadership, primary } = this.#ground;
      if (leadership.isSettled && history.clusterId !== undefined) return primary;
      if (this.#isClosed || performance.now() - since > SETTLE_MILLIS) throw new SourceFault('no primary is known');
      await this.#pause(SETTLE_LOOK_MILLIS);
    }
  }

  async #opened(pool: Pool): Promise<NotifyConnection> {
    const opening = NotifyConnection.open(pool, ANSWER_MILLIS);
    // Where it comes too late for us, it must be ended here.
    opening.then(
      (connection) => (this.#isClosed ? connection.close() : undefined),
      () => undefined,
    );
    return abortable(opening, this.#closing.signal);
  }

  async #tell(connection: NotifyConnection, isSame: () => boolean): Promise<void> {
    const { tables, intervalMillis = INTERVAL_MILLIS, isWanted = () => true } = this.#options;
    await connection.ask(NOTIFY_SETTINGS);
    // Not on every system can a server see that its client has gone.
    await connection.ask(WATCH_CLIENT).catch(() => undefined);
    const [row] = await connection.ask<ServerRow>(NOTIFY_SERVER);
    const timeline = this.#identified(row);
    const layout = { blockBytes: bytes(row?.block_bytes), segmentBytes: bytes(row?.segment_bytes) };
    const channel = `pg_ladder_${randomBytes(8).toString('hex')}`;
    const ask = <Row extends object>(text: string): Promise<Row[]> => connection.ask<Row>(text);
    const ground = { handler: this.#handler, timeline, layout, channel, tables, ask, isSame, isWanted };
    const stream = new NotifyStream(ground);
    connection.heard = (on, payload) => stream.heard(on, payload);
    await connection.ask(listenOn(channel));
    await stream.begin();
    this.#hasBegun = true;
    this.#told = undefined;
    while (isSame()) {
      await this.#pause(intervalMillis);
      await stream.tick();
    }
    throw new SourceFault('the primary is another one, or was started anew');
  }

  /** @returns its timeline @throws SourceFault unless it is the primary of this cluster, as it is known */
  #identified(row: ServerRow | undefined): number {
    const { clusterId, timelines } = this.#ground.history;
    if (row?.in_recovery !== false) throw new SourceFault('the server is not the primary any more');
    if (row.cluster_id !== clusterId) throw new SourceFault('the server belongs to another cluster');
    const timeline = Number.parseInt(String(row.wal_file).slice(0, 8), 16);
    if (timeline !== timelines.timeline) throw new SourceFault('the server is on another timeline than is known');
    return timeline;
  }

  #pause(millis: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(), millis);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function bytes(text: unknown): bigint {
  if (typeof text !== 'string' || !/^[1-9][0-9]{2,9}$/.test(text)) throw new SourceFault('the server tells no sizes');
  return BigInt(text);
}

function wordsOf(fault: unknown): string {
  const code = fault instanceof SourceFault ? undefined : codeOf(fault);
  return WORDS[code ?? ''] ?? wordsFor(fault);
}

/** With jitter, so that the processes of a cluster do not all come at once. */
function backoff(failureCount: number): number {
  return Math.min(FIRST_RETRY_MILLIS * 2 ** failureCount, LAST_RETRY_MILLIS) * (0.5 + Math.random() / 2);
}
