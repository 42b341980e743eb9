/**
 * One connection to a server's log: it runs commands, and then hands over what is written, message
 * by message. It makes no sense of them, and does not say what was processed by itself.
 */
import type { Client, Pool } from 'pg';
import { wallMillis } from '../clock.js';
import { settledWithin, within } from '../deadline.js';
import type { Lsn } from '../freshness/lsn.js';
import { cancelByKey } from '../postgres/cancel.js';
import { NoAnswer } from '../postgres/errors.js';
import { dropSocket, wireOf } from '../postgres/internals.js';
import { openOwn } from '../postgres/open-own.js';
import { question } from '../postgres/plain-types.js';

/** pg's Connection with what its types leave out. */
interface CopyWire {
  on(event: 'copyData', listener: (message: { readonly chunk: Buffer }) => void): unknown;
  on(event: 'replicationStart' | 'commandComplete', listener: () => void): unknown;
  on(event: 'errorMessage', listener: (error: unknown) => void): unknown;
  sendCopyFromChunk(bytes: Buffer): void;
  endCopyFrom(): void;
  end(): void;
}

/** What the log tells. Called at once, one after the other. */
export interface LogListener {
  /** A message of the output plugin. */
  message(bytes: Buffer): void;
  /** All that ends at or before that position was sent. @param isAsked whether the server wants an answer */
  keepalive(end: Lsn, isAsked: boolean): void;
}

const DATA = 0x77;
const KEEPALIVE = 0x6b;
const STATUS = 0x72;
const DATA_HEADER_BYTES = 25;
const STATUS_BYTES = 34;
const EPOCH_MILLIS = Date.UTC(2000, 0, 1);
/** What an end, or a cancel request, may take. */
const END_MILLIS = 1_000;

export class ReplicationConnection {
  /** Settles when it is lost, or ended; never rejects. */
  readonly ended: Promise<unknown>;
  readonly #pool: Pool;
  readonly #client: Client;
  readonly #boundMillis: number;
  #isBusy = false;
  #isStreaming = false;

  private constructor(pool: Pool, client: Client, boundMillis: number) {
    this.#pool = pool;
    this.#client = client;
    this.#boundMillis = boundMillis;
    this.ended = new Promise((resolve) => {
      client.on('error', resolve);
      client.on('end', () => resolve(new Error('the connection ended')));
    });
  }

  /** @param boundMillis of each answer, opening included @throws pg's errors, or NoAnswer */
  static open(pool: Pool, boundMillis: number): Promise<ReplicationConnection> {
    const config = { replication: 'database' };
    const made = (client: Client): ReplicationConnection => new ReplicationConnection(pool, client, boundMillis);
    return openOwn(pool, { kind: 'changes', config, boundMillis }, made);
  }

  /** Runs SQL, or a command of replication. @param boundMillis `undefined`: as long as it takes */
  async ask<Row extends object>(text: string, boundMillis: number | undefined = this.#boundMillis): Promise<Row[]> {
    this.#isBusy = true;
    const asked = this.#client.query<Row>(question(text));
    asked.then(
      () => (this.#isBusy = false),
      () => (this.#isBusy = false),
    );
    const lost = this.ended.then((error) => Promise.reject(error));
    const answer = Promise.race([asked, lost]);
    const { rows } = await within(answer, boundMillis ?? 2 ** 31 - 1, () => new NoAnswer('it does not answer'), true);
    return rows;
  }

  /**
   * Begins to read the log.
   * @param text the command
   * @returns settles when the log ends, with what ended it; never rejects
   */
  stream(text: string, listener: LogListener): Promise<unknown> {
    const wire = wireOf(this.#client) as unknown as CopyWire | undefined;
    if (wire === undefined) return Promise.resolve(new Error('this client cannot read a log'));
    const over = new Promise<unknown>((resolve) => {
      wire.on('copyData', ({ chunk }) => {
        try {
          hear(chunk, listener);
        } catch (error) {
          resolve(error);
        }
      });
      wire.on('errorMessage', resolve);
      wire.on('commandComplete', () => resolve(new Error('the server has ended the log')));
    });
    wire.on('replicationStart', () => {
      this.#isStreaming = true;
    });
    // Not by what becomes of the query: pg may take it for one that takes too long.
    this.#client.query(question(text)).catch(() => undefined);
    return Promise.race([over, this.ended]);
  }

  /** Says how far the log was processed. @param asks whether the server is to answer */
  report(processed: Lsn, asks: boolean): void {
    const wire = wireOf(this.#client) as unknown as CopyWire | undefined;
    if (!this.#isStreaming || wire === undefined) return;
    const bytes = Buffer.alloc(STATUS_BYTES);
    bytes[0] = STATUS;
    for (const at of [1, 9, 17]) bytes.writeBigUInt64BE(processed, at);
    bytes.writeBigInt64BE(BigInt(Math.round(wallMillis() - EPOCH_MILLIS)) * 1_000n, 25);
    bytes[33] = asks ? 1 : 0;
    wire.sendCopyFromChunk(bytes);
  }

  /** Ends it; resolves when the server has let go of all that belongs to it, or does not answer. */
  async close(): Promise<void> {
    const wire = wireOf(this.#client) as unknown as CopyWire | undefined;
    if (this.#isBusy) {
      // A server that waits for something does not see that its client has gone.
      await cancelByKey(this.#pool, this.#client, END_MILLIS);
    }
    if (this.#isStreaming && wire !== undefined) {
      this.#isStreaming = false;
      wire.endCopyFrom();
      wire.end();
    } else {
      this.#client.end().catch(() => undefined);
    }
    await settledWithin(this.ended, END_MILLIS, true);
    dropSocket(this.#client);
  }

  /** Ends it without a goodbye: the server does not answer. */
  drop(): void {
    dropSocket(this.#client);
  }
}

function hear(bytes: Buffer, listener: LogListener): void {
  if (bytes[0] === DATA) listener.message(bytes.subarray(DATA_HEADER_BYTES));
  else if (bytes[0] === KEEPALIVE) listener.keepalive(bytes.readBigUInt64BE(1), bytes[17] === 1);
}
