/** pg's Client as far as the library uses it, with a played server behind it. */
import { EventEmitter } from 'node:events';
import { CAP_STATEMENTS } from '../../src/postgres/own-statements.js';
import { DIVISION_BY_ZERO, isRead, type ReadValues } from './reads.js';
import { type FakeServer, nextLife } from './server.js';

/** How many connections each pool has. */
export const POOL_MAX = 4;

/** The least that a statement keeps a server busy. */
const SERVICE_MILLIS = 1;
/** What a server says of a statement that reaches `statement_timeout`. */
const TIMED_OUT = { code: '57014', severity: 'ERROR', routine: 'ProcessInterrupts' };
const DIVIDED_BY_ZERO = { code: DIVISION_BY_ZERO, severity: 'ERROR', routine: 'int4div' };

type Callback = (error: Error | undefined, result?: unknown) => void;
/** The caller's own, as pg calls it. */
type Answered = (error: Error | null, result: unknown) => void;

interface Asked {
  readonly text: string;
  readonly values?: readonly unknown[];
}

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
  readonly pid = nextLife();
  readonly door: Door;
  /** Whether it sends what it is asked at once, and not when it is its turn. */
  readonly pipeline: boolean;
  readonly connection = {
    stream: {
      bytesRead: 0,
      cork: () => undefined,
      uncork: () => undefined,
      destroy: () => this.#destroy(),
    },
    on: () => undefined,
  };
  _queryable = true;
  _ending = false;
  readonly #server: FakeServer;
  readonly #life: number;
  readonly #questions: Question[] = [];
  /** Its session's `statement_timeout`, where it has one. */
  #capMillis = Number.POSITIVE_INFINITY;
  #isOpen = false;
  #onConnect: Callback | undefined;

  constructor(door: Door, { pipeline = false }: { readonly pipeline?: boolean } = {}) {
    super();
    this.pipeline = pipeline;
    this.door = door;
    this.#server = door.server;
    this.#life = door.server.startedAt;
    // A connection is opened and closed by listeners enough.
    this.setMaxListeners(0);
  }

  /** What the server, or the pooler before it, has told of the connection when it was opened. */
  get processID(): number | undefined {
    return this.#server.isDirect ? this.pid : undefined;
  }

  /** Whether nothing is under way; behind a pooler pg's Client is played without. */
  get readyForQuery(): boolean | undefined {
    return this.#server.isDirect ? this.#isOpen && this.#questions.length === 0 : undefined;
  }

  connect(callback?: Callback): Promise<void> | undefined {
    if (callback === undefined) return promised((settle) => void this.connect(settle));
    this.door.clients.add(this);
    setTimeout(() => {
      if (!this._queryable) {
        callback(new Error('Connection terminated'));
        return;
      }
      if (!this.#server.isUp || this.door.isClosed) {
        this._queryable = false;
        this.door.clients.delete(this);
        callback(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
        return;
      }
      this.#onConnect = callback;
      this.#server.opened(this);
      this.flush();
    }, this.#server.latencyMillis);
    return undefined;
  }

  /** As pg's: with the values and the callback, or with the callback in the place of the values. */
  query(query: string | Asked, given?: readonly unknown[] | Answered, callback?: Answered): Promise<unknown> {
    const asked = typeof query === 'string' ? { text: query } : query;
    const [values, answered] = typeof given === 'function' ? [undefined, given] : [given, callback];
    const answer = this.#answer(asked.text, values ?? asked.values ?? []);
    if (answered !== undefined)
      answer.then(
        (result) => answered(null, result),
        (error: Error) => answered(error, undefined),
      );
    return answer;
  }

  #answer(text: string, values: readonly unknown[]): Promise<unknown> {
    if (!this._queryable) return Promise.reject(new Error('Client was closed and is not queryable'));
    return promised((settle) => {
      const question = { text, values, settle, isSent: false, sentAt: 0 };
      this.#questions.push(question);
      if (this.pipeline) this.#send(question);
      if (this.#questions.length === 1) this.#work();
    });
  }

  end(callback?: Callback): Promise<void> | undefined {
    if (callback === undefined) return promised((settle) => void this.end(settle));
    this._ending = true;
    // A frozen server answers no goodbye.
    if (this._queryable) this.once('end', () => callback(undefined));
    const goodbye = (): void => {
      setTimeout(() => {
        if (!this._queryable) callback(undefined);
        else if (!this.#server.isFrozen) this.#destroy();
      }, 1);
    };
    // What shares a connection is answered first.
    if (this.pipeline && this.#questions.length > 0) this.once('drain', goodbye);
    else goodbye();
    return undefined;
  }

  ref(): void {}

  unref(): void {}

  getTransactionStatus(): string {
    return 'I';
  }

  /** The server has woken up. */
  flush(): void {
    if (this.#server.isFrozen) return;
    if (this._ending && !(this.pipeline && this.#questions.length > 0)) {
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
    this.door.clients.delete(this);
    const error = new Error('Connection terminated unexpectedly');
    this.#onConnect?.(error);
    this.#onConnect = undefined;
    for (const { settle } of this.#questions.splice(0)) settle(error);
    if (this.#isOpen && !this._ending && this.listenerCount('error') > 0) this.emit('error', error);
    this.emit('end');
  }

  /** The library has had enough: a goodbye cuts off what is under way as well. */
  #destroy(): void {
    if (this._queryable) {
      for (const { text, isSent, sentAt } of this.#questions) if (isSent && isRead(text)) this.door.cut(sentAt);
    }
    this.break();
  }

  #send(question: Question): void {
    question.isSent = true;
    question.sentAt = performance.now();
    if (isRead(question.text)) this.door.sent((question.values as ReadValues)[0]);
  }

  /** The server takes one after the other, in the order in which they were sent. */
  #work(): void {
    const [question] = this.#questions;
    if (question === undefined) {
      this.emit('drain');
      return;
    }
    if (!question.isSent) this.#send(question);
    const { text, values, sentAt } = question;
    const takesMillis = isRead(text) ? (values as ReadValues)[1] : 0;
    // What is sent along with another one sees the server a little later than that.
    const onTheWay = Math.max(SERVICE_MILLIS, sentAt + this.#server.latencyMillis - performance.now());
    setTimeout(() => this.#reply(question), onTheWay + Math.min(takesMillis, this.#capMillis));
  }

  #reply(question = this.#questions[0]): void {
    if (question === undefined || this.#questions[0] !== question || this.#server.isFrozen) return;
    if (this.#life !== this.#server.startedAt || !this.#server.isUp) {
      this.break();
      return;
    }
    this.#questions.shift();
    this.connection.stream.bytesRead++;
    try {
      question.settle(undefined, this.#resultOf(question));
    } catch (error) {
      question.settle(error as Error);
    }
    this.#work();
  }

  /** @throws what PostgreSQL would */
  #resultOf(question: Question): unknown {
    const { text, values } = question;
    if (isRead(text)) {
      const [, takesMillis, divisor] = values as ReadValues;
      if (takesMillis > this.#capMillis) throw Object.assign(new Error('it took too long'), TIMED_OUT);
      if (divisor === 0) throw Object.assign(new Error('division by zero'), DIVIDED_BY_ZERO);
    }
    if (text === CAP_STATEMENTS) this.#capMillis = values[0] as number;
    const rows = this.#server.answer(question, this);
    const commands = text.split(/;\s/).map((one) => one.slice(0, one.indexOf(' ')).toUpperCase());
    if (commands.length === 1) return { command: commands[0], rows, rowCount: rows.length };
    // Such as the catalogue, which is empty.
    return commands.map((command) => ({ command, rows: [], rowCount: 0 }));
  }
}

function promised<T>(start: (settle: Callback) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === undefined ? resolve(result as T) : reject(error)));
  });
}

/** pg's Client class for a server, by a way of its own. */
export function clientOf(
  server: FakeServer,
  door = new Door(server.name, server),
): new (options?: {
  readonly pipeline?: boolean;
}) => FakeClient {
  return class extends FakeClient {
    constructor(options?: { readonly pipeline?: boolean }) {
      super(door, options);
    }
  };
}
