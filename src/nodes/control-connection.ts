/**
 * The one connection to a server that carries the library's own questions. It stands outside the pool, so that a full pool
 * never blinds the monitor, and it never carries a user's statement. It opens on first use and after a loss, and holds no
 * process alive except while somebody waits for its answer.
 */

import type { Client, Pool, QueryResultRow } from 'pg';
import { inBackground } from '../async-context.js';
import { clearTimeout, performance, setImmediate, setTimeout } from '../clock.js';
import { NoAnswer, refusesSerializable } from '../postgres/errors.js';
import { connected, dropSocket } from '../postgres/internals.js';
import { ownClient, refusesName } from '../postgres/own-client.js';
import { question } from '../postgres/plain-types.js';
import { AnswerGuard } from './answer-guard.js';
import { wordsOf } from './fault.js';
import { identify } from './identify.js';
import { type Identity, isDirect } from './observation.js';

/** Opening takes several round trips, a key exchange and a password hash: its bound is that many times the hang bound. */
const CONNECT_ALLOWANCE = 10;

/** pg's Client with what its types leave out; the native one has neither. */
type ControlClient = Client & { ref?(): void; unref?(): void };

interface Open {
  readonly client: ControlClient;
  readonly guard: AnswerGuard;
  readonly identity: Identity;
}

interface Answer<Row> {
  readonly rows: Row[];
  readonly identity: Identity;
  /** On the wire and on the server: waiting for one's turn is not counted. */
  readonly tookMillis: number;
}

export class ControlConnection {
  readonly #pool: Pool;
  readonly #hangMillis: number;
  readonly #onLost: (cause: string, isHung: boolean) => void;
  readonly #onRelaxed: (() => void) | undefined;
  #open: Promise<Open> | undefined;
  #client: ControlClient | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #awaited = 0;
  /** Whether it has a name of its own: unless a pooler takes none. */
  #isNamed = true;
  #closed = false;

  /**
   * @param onLost told once for each connection that is lost, never after `close`; hung when the server gave no answer in time
   * @param onRelaxed told of each that is set to REPEATABLE READ, see {@link identify}; without it none is
   */
  constructor(
    pool: Pool,
    hangMillis: number,
    onLost: (cause: string, isHung: boolean) => void,
    onRelaxed?: () => void,
  ) {
    this.#onRelaxed = onRelaxed;
    this.#pool = pool;
    this.#hangMillis = hangMillis;
    this.#onLost = onLost;
  }

  /**
   * Asks on the open connection, which it opens first where it must. Rejects when no answer comes within the hang bound.
   * @param name for a question that is asked time and again
   */
  query<Row extends QueryResultRow>(text: string, values?: unknown[], name?: string): Promise<Answer<Row>> {
    return inBackground(() => this.#query<Row>(text, values, name));
  }

  #query<Row extends QueryResultRow>(text: string, values?: unknown[], name?: string): Promise<Answer<Row>> {
    const once = async ({ client, guard, identity }: Open): Promise<Answer<Row>> => {
      const sentAt = performance.now();
      const query = question(text, values, isDirect(client, identity) ? name : undefined);
      guard.asked();
      // pg gives one result for each statement of a text; the last one is the question.
      const results = [await this.#answered(client, client.query<Row>(query))].flat();
      return { rows: results.at(-1)?.rows ?? [], identity, tookMillis: performance.now() - sentAt };
    };
    const ask = async (): Promise<Answer<Row>> => {
      const open = await this.#connected();
      try {
        return await once(open);
      } catch (error) {
        if (this.#onRelaxed === undefined || !refusesSerializable(error)) throw error;
        // Its default has changed under it: a new connection is relaxed when it is opened.
        this.#replace(open.client);
        return await once(await this.#connected());
      }
    };
    // One at a time, so that the hang bound runs for the question that the server is busy with.
    const answer = this.#tail.then(ask, ask);
    this.#tail = answer.catch(() => undefined);
    return answer;
  }

  /** Keeps the process alive until `answer` settles: for questions that a caller waits for. */
  async holding<T>(answer: Promise<T>): Promise<T> {
    if (++this.#awaited === 1) this.#client?.ref?.();
    try {
      return await answer;
    } finally {
      if (--this.#awaited === 0) this.#client?.unref?.();
    }
  }

  /** Closes the connection at once: what the server says on it cannot be believed. */
  drop(cause: string): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#lost(client, cause);
    dropSocket(client);
  }

  /** Closes a connection in favour of a new one. Nothing was lost with it, so nothing is told. */
  #replace(client: ControlClient): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#open = undefined;
    dropSocket(client);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = this.#client;
    if (client === undefined) return;
    // A frozen server never answers a goodbye.
    await this.holding(this.#answered(client, client.end())).catch(() => undefined);
  }

  #connected(): Promise<Open> {
    if (this.#closed) return Promise.reject(new Error('the cluster is closed'));
    this.#open ??= this.#connect();
    return this.#open;
  }

  async #connect(): Promise<Open> {
    const isNamed = this.#isNamed;
    const client = ownClient<ControlClient>(this.#pool, isNamed ? 'control' : undefined);
    this.#client = client;
    const guard = new AnswerGuard();
    guard.watch(client);
    client.on('error', (error: Error) => this.#lost(client, wordsOf(error)));
    client.on('end', () => this.#lost(client, 'the connection ended'));
    if (this.#awaited === 0) client.unref?.();
    try {
      await this.#answered(client, connected(client), this.#hangMillis * CONNECT_ALLOWANCE);
      // Encryption replaces the socket.
      if (this.#awaited === 0) client.unref?.();
      guard.asked();
      const { identity, isRelaxed } = await this.#answered(client, identify(client, this.#onRelaxed !== undefined));
      if (isRelaxed) this.#onRelaxed?.();
      return { client, guard, identity };
    } catch (error) {
      if (isNamed && refusesName(error)) {
        this.#isNamed = false;
        dropSocket(client);
        return this.#connect();
      }
      this.#lost(client, wordsOf(error));
      dropSocket(client);
      throw error;
    }
  }

  /** What the server answers, or a rejection and the end of the connection when it does not. */
  async #answered<T>(client: Client, answer: Promise<T>, boundMillis = this.#hangMillis): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const hung = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        // The answer may already lie in the socket while our own event loop was held up: let it be read first.
        setImmediate(() => {
          if (timer === undefined) return;
          const error = new NoAnswer(`no answer within ${boundMillis} ms`);
          reject(error);
          this.#lost(client, error.message, true);
          dropSocket(client);
        });
      }, boundMillis);
      if (this.#awaited === 0) timer.unref();
    });
    try {
      return await Promise.race([answer, hung]);
    } finally {
      clearTimeout(timer);
      timer = undefined;
    }
  }

  #lost(client: Client, cause: string, isHung = false): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#open = undefined;
    if (!this.#closed) this.#onLost(cause, isHung);
  }
}
