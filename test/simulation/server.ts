/**
 * A PostgreSQL server as far as the library can see one: a log that it writes or replays, connections that break, and the answers to the library's own
 * questions. It stands in for a server where thousands of faults are played through in seconds; what it promises is shown on real ones elsewhere.
 */
import { EventEmitter } from 'node:events';

/** A commit: where it lies in the log, and what was written. */
export interface Commit {
  readonly timeline: number;
  readonly lsn: bigint;
  readonly id: number;
}

/** What a read shows. */
export interface Seen {
  readonly server: FakeServer;
  /** Its log, which only grows. */
  readonly log: readonly Commit[];
  /** How many commits of it the read shows. */
  readonly count: number;
  /** When it was sent, by the library's clock. */
  readonly sentAt: number;
}

type Callback = (error: Error | undefined, result?: unknown) => void;

const CLUSTER_ID = '7300000000000000001';
const FIRST_LSN = 0x3000100n;
let lives = 0;

export class FakeServer {
  readonly name: string;
  readonly #clients = new Set<FakeClient>();
  log: Commit[] = [];
  replayedCount = 0;
  timeline = 1;
  /** `undefined` on a primary. */
  upstream: FakeServer | undefined;
  forkLsn: bigint | undefined;
  isUp = true;
  isFrozen = false;
  isPaused = false;
  isCut = false;
  latencyMillis = 1;
  startedAt = ++lives;
  /** Reads that run here now, and the most that ever did at once. */
  readsNow = 0;

  constructor(name: string, upstream: FakeServer | undefined) {
    this.name = name;
    this.upstream = upstream;
  }

  get isPrimary(): boolean {
    return this.upstream === undefined;
  }

  get lsn(): bigint {
    return this.log[this.replayedCount - 1]?.lsn ?? FIRST_LSN;
  }

  /** Whether what it has is where the other's log leads: nothing that the other does not have. */
  isPrefixOf(other: FakeServer, count = this.replayedCount): boolean {
    return count <= other.log.length && (count === 0 || this.log[count - 1] === other.log[count - 1]);
  }

  commit(id: number): void {
    const end = this.log.at(-1)?.lsn ?? FIRST_LSN;
    this.log.push({ timeline: this.timeline, lsn: end + 100n, id });
    this.replayedCount = this.log.length;
  }

  /** Streams from its upstream and replays, as far as it can. */
  replicate(): void {
    const { upstream } = this;
    if (!this.isUp || this.isFrozen || upstream === undefined) return;
    const canReceive = upstream.isUp && !upstream.isFrozen && !this.isCut;
    // One that has received what its upstream never had receives nothing more.
    if (canReceive && this.isPrefixOf(upstream, this.log.length)) this.log.push(...upstream.log.slice(this.log.length));
    if (this.isPaused) return;
    this.replayedCount = this.log.length;
    this.timeline = this.log.at(-1)?.timeline ?? this.timeline;
    if (canReceive && this.isPrefixOf(upstream, this.log.length)) this.timeline = upstream.timeline;
  }

  promote(timeline: number): void {
    this.upstream = undefined;
    this.isPaused = false;
    // What was received is replayed before the promotion ends.
    this.replayedCount = this.log.length;
    this.forkLsn = this.lsn;
    this.timeline = timeline;
  }

  /** A fresh copy of the other one's data. */
  rebuild(upstream: FakeServer): void {
    this.log = upstream.log.slice();
    this.replayedCount = this.log.length;
    this.timeline = upstream.timeline;
    this.upstream = upstream;
    this.isCut = false;
    this.isPaused = false;
    this.start();
  }

  start(): void {
    this.isUp = true;
    this.isFrozen = false;
    this.forkLsn = undefined;
    this.startedAt = ++lives;
  }

  kill(): void {
    this.isUp = false;
    this.isFrozen = false;
    this.reset();
  }

  freeze(): void {
    this.isFrozen = true;
  }

  thaw(): void {
    this.isFrozen = false;
    for (const client of this.#clients) client.flush();
  }

  /** Every connection breaks. */
  reset(): void {
    for (const client of this.#clients) client.break();
  }

  opened(client: FakeClient): void {
    this.#clients.add(client);
  }

  closed(client: FakeClient): void {
    this.#clients.delete(client);
  }

  /** The answer to a statement. @throws what PostgreSQL would */
  answer({ text, values, sentAt }: Question, pid: number): Record<string, unknown>[] {
    if (text === 'write') {
      if (!this.isPrimary) throw Object.assign(new Error('read-only'), { code: '25006' });
      this.commit(values[0] as number);
      return [];
    }
    if (text === 'read') return [{ server: this, log: this.log, count: this.replayedCount, sentAt } satisfies Seen];
    if (text.includes('system_identifier')) {
      return [
        {
          cluster_id: CLUSTER_ID,
          started_at: String(this.startedAt),
          version: 180000,
          block_bytes: 8192,
          segment_bytes: 16777216,
          pid,
        },
      ];
    }
    if (text.includes('wal_file')) {
      const lsn = formatted(this.lsn);
      if (!this.isPrimary)
        return [{ in_recovery: true, replay_lsn: lsn, insert_lsn: null, flush_lsn: null, wal_file: null }];
      const wal_file = `${this.timeline.toString(16).padStart(8, '0')}0000000000000003`;
      const replay_lsn = this.forkLsn === undefined ? null : formatted(this.forkLsn);
      return [{ in_recovery: false, replay_lsn, insert_lsn: lsn, flush_lsn: lsn, wal_file }];
    }
    if (text.includes('received_tli')) return [{ timeline: this.timeline }];
    if (text.includes('pg_current_snapshot')) return [{ next: '1', unfinished: [] }];
    return [];
  }
}

function formatted(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`;
}

interface Question {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly settle: Callback;
  isSent: boolean;
  sentAt: number;
}

/** pg's Client, with a fake server behind it. */
export class FakeClient extends EventEmitter {
  readonly #server: FakeServer;
  readonly #life: number;
  readonly #questions: Question[] = [];
  readonly #pid = ++lives;
  readonly connection = { stream: { destroy: () => this.break() }, on: () => undefined };
  _queryable = true;
  _ending = false;
  #isOpen = false;
  #onConnect: Callback | undefined;

  constructor(server: FakeServer) {
    super();
    this.#server = server;
    this.#life = server.startedAt;
  }

  connect(callback?: Callback): Promise<void> | undefined {
    if (callback === undefined) return promised((settle) => void this.connect(settle));
    setTimeout(() => {
      if (!this.#server.isUp) {
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
    setTimeout(() => {
      if (!this.#server.isFrozen) this.break();
      callback(undefined);
    }, 1);
    return undefined;
  }

  getTransactionStatus(): string {
    return 'I';
  }

  /** The server has woken up. */
  flush(): void {
    if (this.#server.isFrozen) return;
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

  #work(): void {
    const question = this.#questions[0];
    if (question === undefined) return;
    question.isSent = true;
    question.sentAt = performance.now();
    if (question.text === 'read') this.#server.readsNow++;
    setTimeout(() => this.#reply(question), this.#server.latencyMillis);
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
      const rows = this.#server.answer(question, this.#pid);
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

/** pg's Client class for a server. */
export function clientOf(server: FakeServer): new () => FakeClient {
  return class extends FakeClient {
    constructor() {
      super(server);
    }
  };
}
