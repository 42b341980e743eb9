/**
 * A question that rides behind a statement on the same connection, in one piece with it: where the log of the
 * primary ends. The server answers it after the statement's own commit, so the answer covers that. It says nothing
 * where it has no answer, and never changes that of the statement.
 */
import { serialize } from 'pg-protocol';
import { inBackground } from '../async-context.js';
import { setImmediate, setTimeout } from '../clock.js';
import { whenReady } from './fate.js';
import { dropSocket, isBusy, isReady } from './internals.js';
import { FLUSH_POSITION, INSERT_POSITION } from './own-statements.js';

/** What pg keeps to itself of its client: the wire that a rider is written to. */
interface Carrier {
  readonly pipeline?: boolean;
  readonly connectionParameters?: { readonly query_timeout?: unknown };
  readonly connection?: { readonly stream?: Stream };
  query(query: Ridden): unknown;
}

interface Stream {
  /** What is held back while it is corked counts, too. */
  readonly writableLength: number;
  write(data: Buffer): unknown;
  cork(): void;
  uncork(): void;
}

/** @param lsn as PostgreSQL writes it; `undefined` where there was no answer */
export type Located = (lsn: string | undefined) => void;

/** One name stands for one text: clusters that share a pool may not ask the same. */
const INSERT_NAME = 'pgladder_position';
const FLUSH_NAME = 'pgladder_flushed';
/** The answer lies right behind the statement's. The statement waits no longer for one that does not come. */
const PATIENCE_MILLIS = 300;
/** So many in a row that were refused: its user may not ask, and each would be one more error in the server's log. */
const MOST_REFUSED = 3;

export class PositionRider {
  readonly #client: Carrier;
  readonly #stream: Stream;
  readonly #first: Buffer;
  readonly #again: Buffer;
  #isPrepared = false;
  #refusedCount = 0;
  #giveUp: Located | undefined;
  #patience: NodeJS.Timeout | undefined;
  #state: 'idle' | 'sending' | 'under way' = 'idle';

  private constructor(client: Carrier, stream: Stream, name: string, text: string) {
    this.#client = client;
    this.#stream = stream;
    this.#again = Buffer.concat([serialize.bind({ statement: name }), serialize.execute(), serialize.sync()]);
    // Somebody may have closed all names: it is closed first, which is no error where it does not exist.
    const ahead = [serialize.close({ type: 'S', name }), serialize.parse({ name, text })];
    this.#first = Buffer.concat([...ahead, this.#again]);
  }

  /** `undefined` where pg does not send as it usually does: its native client, in a pipeline, or with a time limit for each query. */
  static of(given: object, assumesSynchronousCommit: boolean): PositionRider | undefined {
    const client = given as Carrier;
    const stream = client.connection?.stream;
    if (typeof stream?.cork !== 'function' || client.pipeline === true) return undefined;
    if (client.connectionParameters?.query_timeout) return undefined;
    return assumesSynchronousCommit
      ? new PositionRider(client, stream, FLUSH_NAME, FLUSH_POSITION)
      : new PositionRider(client, stream, INSERT_NAME, INSERT_POSITION);
  }

  /** Sends a statement, and the question behind it where the statement has gone out at once. Then `follow` must come. */
  behind(send: () => void): void {
    const stream = this.#stream;
    const wasReady = isReady(this.#client);
    this.#state = 'sending';
    stream.cork();
    const { writableLength } = stream;
    try {
      send();
      const isOut =
        wasReady && this.#refusedCount < MOST_REFUSED && isBusy(this.#client) && stream.writableLength > writableLength;
      // Where pg could not send it, it has said so by now.
      if (!isOut || this.#state !== 'sending') return;
      stream.write(this.#isPrepared ? this.#again : this.#first);
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
    let isOver = false;
    const over: Located = (lsn) => {
      if (isOver) return;
      isOver = true;
      this.#giveUp = undefined;
      this.#isPrepared = lsn !== undefined;
      this.#refusedCount = lsn === undefined ? this.#refusedCount + 1 : 0;
      located(lsn);
    };
    this.#giveUp = over;
    this.#wait();
    // pg tells of an error before the server is ready for the next statement.
    const ridden = new Ridden((lsn) => (lsn === undefined ? whenReady(client, () => over(undefined)) : over(lsn)));
    try {
      inBackground(() => client.query(ridden));
    } catch {
      // A patched pg takes no such query: its answer would go unheard, or to the next statement.
      dropSocket(client);
      over(undefined);
    }
  }

  /** One timer for the life of the connection: a new one for each write would cost as much as the rest of it. */
  #wait(): void {
    if (this.#patience !== undefined) {
      this.#patience.refresh();
      return;
    }
    const lookAt = (): void => {
      const giveUp = this.#giveUp;
      // What has come meanwhile lies in the socket yet: it is read first.
      if (giveUp !== undefined) setImmediate(() => giveUp(undefined));
    };
    this.#patience = setTimeout(lookAt, PATIENCE_MILLIS).unref();
  }
}

/** As pg takes it for a query of its own that has been sent. It has no text, which those who instrument pg would change. */
class Ridden {
  readonly #located: Located;
  #lsn: string | undefined;

  constructor(located: Located) {
    this.#located = located;
  }

  /** Called when it is over, since those who instrument pg wait for it. pg sets one of its own where a query has none. */
  callback = (_error: Error | null, _result?: { readonly rows: readonly unknown[] }): void => undefined;

  submit(): null {
    return null;
  }

  handleDataRow({ fields }: { fields: readonly (string | null)[] }): void {
    this.#lsn = fields[0] ?? undefined;
  }

  handleReadyForQuery(): void {
    this.callback(null, { rows: [] });
    this.#located(this.#lsn);
  }

  handleError(error: Error): void {
    this.callback(error);
    this.#located(undefined);
  }

  handleCommandComplete(): void {}

  // What no honest server answers: pg calls these while it reads, where an error would end the process.
  handleRowDescription(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(): void {}
  handleCopyData(): void {}
}
