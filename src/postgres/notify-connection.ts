/**
 * One connection to the primary that hears notifications: it asks, one question after the other, and
 * hands over what it hears in between, in order. It makes no sense of either.
 */
import type { Client, Notification, Pool } from 'pg';
import { settledWithin, within } from '../deadline.js';
import type { ConnectionKind } from './application-name.js';
import { cancelByKey } from './cancel.js';
import { NoAnswer } from './errors.js';
import { dropSocket } from './internals.js';
import { openOwn } from './open-own.js';
import { question } from './plain-types.js';

/** What an end, or a cancel request, may take. */
const END_MILLIS = 1_000;

export class NotifyConnection {
  /** Hears each notification, before the answer to a question that was asked afterwards. */
  heard: (channel: string, payload: string, processId: number) => void = () => undefined;
  /** Resolves when it is lost, or ended, with pg's error; never rejects. */
  readonly ended: Promise<unknown>;
  readonly #pool: Pool;
  readonly #client: Client;
  readonly #boundMillis: number;
  #isBusy = false;

  private constructor(pool: Pool, client: Client, boundMillis: number) {
    this.#pool = pool;
    this.#client = client;
    this.#boundMillis = boundMillis;
    this.ended = new Promise((resolve) => {
      client.on('error', resolve);
      client.on('end', () => resolve(new Error('the connection ended')));
    });
    client.on('notification', ({ channel, payload = '', processId }: Notification) =>
      this.heard(channel, payload, processId),
    );
  }

  /**
   * @param boundMillis of each answer, opening included
   * @param holds whether it keeps the process alive
   * @throws pg's errors, or NoAnswer
   */
  static open(pool: Pool, kind: ConnectionKind, boundMillis: number, holds = false): Promise<NotifyConnection> {
    const made = (client: Client): NotifyConnection => new NotifyConnection(pool, client, boundMillis);
    return openOwn(pool, { kind, boundMillis, holds }, made);
  }

  /** pg's client, for what it says of itself. */
  get client(): object {
    return this.#client;
  }

  /** @throws pg's errors, or NoAnswer */
  async ask<Row extends object>(text: string): Promise<Row[]> {
    this.#isBusy = true;
    const asked = this.#client.query<Row>(question(text));
    const idle = (): void => {
      this.#isBusy = false;
    };
    asked.then(idle, idle);
    // pg rejects it when the connection is lost: nothing is kept for each question.
    const { rows } = await within(asked, this.#boundMillis, () => new NoAnswer('it does not answer'), true);
    return rows;
  }

  /** Ends it; resolves when the server has let go of it, or does not answer. */
  async close(): Promise<void> {
    // A server that waits for something does not see that its client has gone.
    if (this.#isBusy) await cancelByKey(this.#pool, this.#client, END_MILLIS);
    this.#client.end().catch(() => undefined);
    await settledWithin(this.ended, END_MILLIS, true);
    dropSocket(this.#client);
  }

  /** Ends it without a goodbye: the server does not answer. */
  drop(): void {
    dropSocket(this.#client);
  }
}
