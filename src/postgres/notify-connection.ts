/**
 * One connection to the primary that hears notifications: it asks, one question after the other, and
 * hands over what it hears in between, in order. It makes no sense of either.
 */
import type { Client, Notification, Pool } from 'pg';
import { settledWithin, within } from '../deadline.js';
import type { ConnectionKind } from './application-name.js';
import { cancelByKey } from './cancel.js';
import { NoAnswer } from './errors.js';
import { connected, dropSocket } from './internals.js';
import { ownClient, refusesName } from './own-client.js';
import { question } from './plain-types.js';

/** What an end, or a cancel request, may take. */
const END_MILLIS = 1_000;

export class NotifyConnection {
  /** Hears each notification, before the answer to a question that was asked afterwards. */
  heard: (channel: string, payload: string, processId: number) => void = () => undefined;
  /** Resolves when it is lost, or ended, with pg's error; never rejects. */
  readonly ended: Promise<unknown>;
  readonly #pool: Pool;
  readonly #client: Client & { unref?(): void };
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
   * It keeps the process alive only where `holds`.
   * @param boundMillis of each answer, opening included
   * @throws pg's errors, or NoAnswer
   */
  static async open(pool: Pool, kind: ConnectionKind, boundMillis: number, holds = false): Promise<NotifyConnection> {
    try {
      return await NotifyConnection.#open(pool, kind, boundMillis, holds);
    } catch (error) {
      if (refusesName(error)) return NotifyConnection.#open(pool, undefined, boundMillis, holds);
      throw error;
    }
  }

  static async #open(
    pool: Pool,
    kind: ConnectionKind | undefined,
    boundMillis: number,
    holds: boolean,
  ): Promise<NotifyConnection> {
    const client = ownClient(pool, kind, { pipeline: false, query_timeout: undefined, keepAlive: true });
    const connection = new NotifyConnection(pool, client, boundMillis);
    try {
      await within(connected(client), boundMillis, () => new NoAnswer('it does not answer'), !holds);
      if (!holds) connection.#client.unref?.();
      return connection;
    } catch (error) {
      dropSocket(client);
      throw error;
    }
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
