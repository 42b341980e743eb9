/**
 * Stands between a server that may be anybody's and pg's parser, on the library's own connection: pg's throws where nothing catches it when a message is shorter than it says, never comes to an
 * end with an error that has none, and keeps in memory what a server says is still to come. Such a connection is closed instead. What the answers mean is not its business.
 */
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { InvalidAnswer } from '../postgres/errors.js';

/** Its own questions are answered in far less than that, and a discovery's in less. */
const MOST_BYTES = 4 * 2 ** 20;
const HEADER_BYTES = 5;
const AUTHENTICATION = 82;
const ERROR = 69;
const NOTICE = 78;
const NOTHING: Buffer = Buffer.alloc(0);

type Listener = (chunk: Buffer) => void;

/** pg's own, of which its types tell nothing. */
interface PgConnection extends EventEmitter {
  readonly stream: Duplex;
  readonly ssl: unknown;
}

export class AnswerGuard {
  #byteCount = 0;
  /** Whether the server has let the library in. */
  #isOpen = false;
  /** What must be whole before it can be judged. */
  #held = NOTHING;
  /** Of the message that the last piece broke off in, what is still to come. */
  #bodyLeft = 0;

  /** A question was asked: what comes from now on is its answer. */
  asked(): void {
    this.#byteCount = 0;
    this.#isOpen = true;
  }

  /** To be called before the client connects. Clients that are not pg's own, in JavaScript, have their own way. */
  watch(client: object): void {
    const { connection } = client as { connection?: Partial<PgConnection> };
    // With encryption, the messages come through another stream, which stands when `sslconnect` is told.
    connection?.on?.(connection.ssl ? 'sslconnect' : 'connect', () => {
      if (connection.stream !== undefined) this.#standBefore(connection.stream);
    });
  }

  #standBefore(stream: Duplex): void {
    const parsers = stream.listeners('data') as Listener[];
    stream.removeAllListeners('data');
    stream.on('data', (chunk: Buffer) => {
      try {
        const messages = this.accept(chunk);
        if (messages.length > 0) for (const parse of parsers) parse.call(stream, messages);
      } catch (error) {
        // Also whatever lies behind it in the same piece.
        stream.removeAllListeners('data');
        stream.destroy(error as Error);
      }
    });
  }

  /** @returns what can be parsed by now @throws InvalidAnswer when it must not be */
  accept(chunk: Buffer): Buffer {
    this.#byteCount += chunk.length;
    if (this.#byteCount > MOST_BYTES) throw new InvalidAnswer('it is too long to be one');
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = NOTHING;
    let at = Math.min(this.#bodyLeft, bytes.length);
    this.#bodyLeft -= at;
    while (at < bytes.length) {
      const isHeaderWhole = bytes.length - at >= HEADER_BYTES;
      const end = isHeaderWhole ? at + 1 + bytes.readUInt32BE(at + 1) : Number.POSITIVE_INFINITY;
      if (isHeaderWhole && (end < at + HEADER_BYTES || end - at > MOST_BYTES))
        throw new InvalidAnswer('it is no message of the protocol');
      // pg would look for a password, and throw later where there is none.
      if (this.#isOpen && bytes[at] === AUTHENTICATION) throw new InvalidAnswer('it asks for a password a second time');
      const isError = bytes[at] === ERROR || bytes[at] === NOTICE;
      if (!isHeaderWhole || (isError && end > bytes.length)) {
        this.#held = bytes.subarray(at);
        return bytes.subarray(0, at);
      }
      if (isError && !isFields(bytes.subarray(at + HEADER_BYTES, end)))
        throw new InvalidAnswer('it is an error without an end');
      this.#bodyLeft = Math.max(0, end - bytes.length);
      at = Math.min(end, bytes.length);
    }
    return bytes;
  }
}

/** Whether it is a list of fields, each a letter and text that ends with a zero, and a zero behind them. */
function isFields(body: Buffer): boolean {
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) return false;
    at = end + 1;
  }
  return at === body.length - 1;
}
