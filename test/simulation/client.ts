/** pg's Client as far as the library uses it, with a played server behind it. */
import { EventEmitter } from 'node:events';
import { type FakeServer, nextLife } from './server.js';

/** When the caller asked, by the library's clock, and how long the statement itself takes. */
export type ReadValues = readonly [askedAt: number, takesMillis: number];

/** How many connections each pool has. */
export const POOL_MAX = 4;

type Callback = (error: Error | undefined, result?: unknown) => void;

/** Who watches what comes through a door. */
export interface Watch {
  sent(door: Door, askedAt: number): void;
  /** A read that was under way there was cut off by the library itself. */
  cut(door: Door, sentAt: number): void;
}

/** A way to a server, as one node of the library has it: two nodes, or two lives of one, are told apart by it. */
export class Door {
  readonly clients = new Set<FakeClient>();
  /** By the name of its node. */
  readonly name: string;
  readonly server: FakeServer;
  weight = 1;
  zone: string | undefined;
  /** Whether the server is at another address by now, and nobody behind this one. */
  isClosed = false;
  /** When the library said that it left. */
  leftAt = Number.POSITIVE_INFINITY;
  readonly #watch: Watch | undefined;

  constructor(name: string, server: FakeServer, watch?: Watch) {
    this.name = name;
    this.server = server;
    this.#watch = watch;
  }

  /** The server goes on elsewhere. */
  close(): void {
    this.isClosed = true;
    for (const client of this.clients) client.break();
  }

  sent(askedAt: number): void {
    this.#watch?.sent(this, askedAt);
  }

  cut(sentAt: number): void {
    this.#watch?.cut(this, sentAt);
  }
}

export interface Question {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly settle: Callback;
  isSent: boolean;
  sentAt: number;
}

/** pg's Client, with a fake server behind it. */
export class FakeClient extends EventEmitter {
  readonly #server: FakeServer;
  readonly #door: Door;
  readonly #life: number;
  readonly #questions: Question[] = [];
  readonly #pid = nextLife();
  readonly connection = { stream: { destroy: () => this.#destroy() }, on: () => undefined };
  _queryable = true;
  _ending = false;
  #isOpen = false;
  #onConnect: Callback | undefined;

  constructor(door: Door) {
    super();
    this.#door = door;
    this.#server = door.server;
    this.#life = door.server.startedAt;
    // A connection is opened and closed by listeners enough.
    this.setMaxListeners(0);
  }

  connect(callback?: Callback): Promise<void> | undefined {
    if (callback === undefined) return promised((settle) => void this.connect(settle));
    this.#door.clients.add(this);
    setTimeout(() => {
      if (!this._queryable) {
        callback(new Error('Connection terminated'));
        return;
      }
      if (!this.#server.isUp || this.#door.isClosed) {
        this._queryable = false;
        this.#door.clients.delete(this);
        callback(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
        return;
      }
      this.#onConnect = callback;
      this.#server.opened(this);
      this.flush();
    }, this.#server.latencyMillis);
    return undefined;
  }

  query(
    text: string | { text: string },
    values?: readonly unknown[],
    callback?: (error: Error | null, result: unknown) => void,
  ): Promise<unknown> {
    const answer = this.#answer(text, values ?? []);
    if (callback !== undefined)
      answer.then(
        (result) => callback(null, result),
        (error: Error) => callback(error, undefined),
      );
    return answer;
  }

  #answer(text: string | { text: string }, values: readonly unknown[]): Promise<unknown> {
    if (!this._queryable) return Promise.reject(new Error('Client was closed and is not queryable'));
    return promised((settle) => {
      this.#questions.push({
        text: typeof text === 'string' ? text : text.text,
        values,
        settle,
        isSent: false,
        sentAt: 0,
      });
      if (this.#questions.length === 1) this.#work();
    });
  }

  end(callback?: Callback): Promise<void> | undefined {
    if (callback === undefined) return promised((settle) => void this.end(settle));
    this._ending = true;
    // A frozen server answers no goodbye.
    if (this._queryable) this.once('end', () => callback(undefined));
    setTimeout(() => {
      if (!this._queryable) callback(undefined);
      else if (!this.#server.isFrozen) this.#destroy();
    }, 1);
    return undefined;
  }

  getTransactionStatus(): string {
    return 'I';
  }

  /** The server has woken up. */
  flush(): void {
    if (this.#server.isFrozen) return;
    if (this._ending) {
      this.break();
      return;
    }
    const connected = this.#onConnect;
    if (connected !== undefined) {
      this.#onConnect = undefined;
      this.#isOpen = true;
      connected(undefined);
    }
    if (this.#questions[0]?.isSent === true) this.#reply();
  }

  /** The connection is gone. */
  break(): void {
    if (!this._queryable) return;
    this._queryable = false;
    this.#server.closed(this);
    this.#door.clients.delete(this);
    const error = new Error('Connection terminated unexpectedly');
    this.#onConnect?.(error);
    this.#onConnect = undefined;
    for (const { text, isSent, settle } of this.#questions.splice(0)) {
      if (isSent && text === 'read') this.#server.readsNow--;
      settle(error);
    }
    if (this.#isOpen && !this._ending && this.listenerCount('error') > 0) this.emit('error', error);
    this.emit('end');
  }

  /** The library has had enough: a goodbye cuts off what is under way as well. */
  #destroy(): void {
    const [question] = this.#questions;
    if (this._queryable && question?.isSent === true && question.text === 'read') this.#door.cut(question.sentAt);
    this.break();
  }

  #work(): void {
    const question = this.#questions[0];
    if (question === undefined) return;
    question.isSent = true;
    question.sentAt = performance.now();
    let millis = this.#server.latencyMillis;
    if (question.text === 'read') {
      const [askedAt, takesMillis] = question.values as ReadValues;
      this.#server.readsNow++;
      this.#door.sent(askedAt);
      millis += takesMillis;
    }
    setTimeout(() => this.#reply(question), millis);
  }

  #reply(question = this.#questions[0]): void {
    if (question === undefined || this.#questions[0] !== question || this.#server.isFrozen) return;
    if (this.#life !== this.#server.startedAt || !this.#server.isUp) {
      this.break();
      return;
    }
    this.#questions.shift();
    if (question.text === 'read') this.#server.readsNow--;
    try {
      const rows = this.#server.answer(question, this.#pid, this.#door);
      question.settle(undefined, { rows, rowCount: rows.length });
    } catch (error) {
      question.settle(error as Error);
    }
    this.#work();
  }
}

function promised<T>(start: (settle: Callback) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === undefined ? resolve(result as T) : reject(error)));
  });
}

/** pg's Client class for a server, by a way of its own. */
export function clientOf(server: FakeServer, door = new Door(server.name, server)): new () => FakeClient {
  return class extends FakeClient {
    constructor() {
      super(door);
    }
  };
}
