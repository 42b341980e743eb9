/**
 * A question that rides behind a statement on the same connection, in one piece with it: where the log of the
 * primary ends. The server answers it after the statement's own commit, so the answer covers that. It says nothing
 * where it has no answer, and never changes that of the statement.
 */
import { serialize } from 'pg-protocol';
import { inBackground } from '../async-context.js';
import { whenReady } from './fate.js';
import { isBusy, isReady } from './internals.js';
import { FLUSH_POSITION, INSERT_POSITION } from './own-statements.js';

/** What pg keeps to itself of its client: the wire that a rider is written to. */
interface Carrier {
  readonly connectionParameters?: { readonly query_timeout?: unknown };
  readonly connection?: { readonly stream?: Stream };
  query(query: Ridden): unknown;
}

interface Stream {
  readonly writable: boolean;
  write(data: Buffer): unknown;
  cork(): void;
  uncork(): void;
}

/** @param lsn as PostgreSQL writes it; `undefined` where there was no answer */
export type Located = (lsn: string | undefined) => void;

const NAME = 'pgladder_position';
const RUN = Buffer.concat([serialize.bind({ statement: NAME }), serialize.execute(), serialize.sync()]);

export class PositionRider {
  readonly #client: Carrier;
  readonly #stream: Stream;
  readonly #first: Buffer;
  #isPrepared = false;
  #state: 'idle' | 'sending' | 'under way' = 'idle';

  private constructor(client: Carrier, stream: Stream, text: string) {
    this.#client = client;
    this.#stream = stream;
    // Somebody may have closed all names: it is closed first, which is no error where it does not exist.
    const ahead = [serialize.close({ type: 'S', name: NAME }), serialize.parse({ name: NAME, text })];
    this.#first = Buffer.concat([...ahead, RUN]);
  }

  /** `undefined` where pg does not send as it usually does: its native client, or one with a time limit for each query. */
  static of(given: object, assumesSynchronousCommit: boolean): PositionRider | undefined {
    const client = given as Carrier;
    const stream = client.connection?.stream;
    if (typeof stream?.cork !== 'function' || client.connectionParameters?.query_timeout) return undefined;
    return new PositionRider(client, stream, assumesSynchronousCommit ? FLUSH_POSITION : INSERT_POSITION);
  }

  /** Sends a statement, and the question behind it where the statement has gone out at once. Then `follow` must come. */
  behind(send: () => void): void {
    const stream = this.#stream;
    const wasReady = isReady(this.#client);
    this.#state = 'sending';
    stream.cork();
    try {
      send();
      const isOut = wasReady && isBusy(this.#client) && stream.writable;
      // Where pg could not send it, it has said so by now.
      if (!isOut || this.#state !== 'sending') return;
      stream.write(this.#isPrepared ? RUN : this.#first);
      this.#state = 'under way';
    } finally {
      stream.uncork();
    }
  }

  /** Hears the answer; to be called while pg tells of the statement's own. Calls back at once where nothing was asked. */
  follow(located: Located): void {
    const state = this.#state;
    this.#state = 'idle';
    if (state !== 'under way') {
      located(undefined);
      return;
    }
    const client = this.#client;
    const over: Located = (lsn) => {
      this.#isPrepared = lsn !== undefined;
      // pg tells of an error before the server is ready for the next statement.
      if (lsn === undefined) whenReady(client, () => located(undefined));
      else located(lsn);
    };
    inBackground(() => client.query(new Ridden(over)));
  }
}

/** As pg takes it for a query of its own that has been sent. */
class Ridden {
  readonly #located: Located;
  #lsn: string | undefined;

  constructor(located: Located) {
    this.#located = located;
  }

  /** pg sets one of its own where a query has none. */
  readonly callback = (): void => undefined;

  submit(): null {
    return null;
  }

  handleDataRow({ fields }: { fields: readonly (string | null)[] }): void {
    this.#lsn = fields[0] ?? undefined;
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#located(this.#lsn);
  }

  handleError(): void {
    this.#located(undefined);
  }
}
