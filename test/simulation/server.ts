/**
 * A PostgreSQL server as far as the library can see one: a log that it writes or replays, connections that break, and the answers to the library's own
 * questions. It stands in for a server where thousands of faults are played through in seconds; what it promises is shown on real ones elsewhere.
 */
import { BACKEND_ALIVE, BACKENDS_RUNNING, CAP_STATEMENTS } from '../../src/postgres/own-statements.js';
import type { Door, FakeClient, Question } from './client.js';
import { isRead } from './reads.js';

/** A commit: where it lies in the log, and what was written. */
export interface Commit {
  readonly timeline: number;
  readonly lsn: bigint;
  readonly id: number;
  /** When it was made, by the library's clock. */
  readonly at: number;
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
  /** Which way it came. */
  readonly door: Door;
  /** Whether it shared its connection with others. */
  readonly isShared: boolean;
}

const CLUSTER_ID = '7300000000000000001';
const FIRST_LSN = 0x3000100n;
const COMMIT_BYTES = 100n;
/** What is older has no say about an age that jitters. */
const AGES_KEPT = 600;
/** How often its age is taken down. */
export const AGE_MILLIS = 50;
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
  /** How much later than its upstream it replays: a standby with `recovery_min_apply_delay`. */
  delayMillis = 0;
  /** When something was last done to it, or taken from it. */
  troubledAt = Number.NEGATIVE_INFINITY;
  /** How old what it shows has been lately, in truth: the latest last. */
  readonly ages: number[] = [];
  startedAt = nextLife();
  /** Whether no pooler stands before it, so that a connection tells which backend answers on it. */
  isDirect = false;

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
    this.log.push({ timeline: this.timeline, lsn: end + COMMIT_BYTES, id, at: performance.now() });
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
    this.#replay(performance.now() - this.delayMillis);
    this.timeline = this.log[this.replayedCount - 1]?.timeline ?? this.timeline;
    if (canReceive && this.replayedCount === this.log.length && this.isPrefixOf(upstream, this.log.length))
      this.timeline = upstream.timeline;
  }

  #replay(upTo: number): void {
    if (this.delayMillis === 0) this.replayedCount = this.log.length;
    while (this.replayedCount < this.log.length && (this.log[this.replayedCount] as Commit).at <= upTo)
      this.replayedCount++;
  }

  /** Takes down how old what it shows is. */
  noteAge(primary: FakeServer): void {
    const missing = primary.log[this.replayedCount];
    this.ages.push(missing === undefined ? 0 : performance.now() - missing.at);
    if (this.ages.length > AGES_KEPT) this.ages.shift();
  }

  /** Whether nothing has been wrong with it for so long. */
  isWell(primary: FakeServer, millis: number): boolean {
    const isStreaming = this.upstream === primary && this.isPrefixOf(primary);
    const isFast = this.latencyMillis === 1 && this.delayMillis === 0;
    const isFree = this.isUp && !this.isFrozen && !this.isPaused && !this.isCut;
    return isFree && isFast && isStreaming && performance.now() - this.troubledAt > millis;
  }

  promote(timeline: number): void {
    this.upstream = undefined;
    this.isPaused = false;
    this.delayMillis = 0;
    // What was received is replayed before the promotion ends.
    this.replayedCount = this.log.length;
    this.forkLsn = this.lsn;
    this.timeline = timeline;
  }

  /** A fresh copy of the other one's data. */
  rebuild(upstream: FakeServer): void {
    this.log = upstream.log.slice();
    this.replayedCount = upstream.replayedCount;
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
    this.startedAt = nextLife();
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

  /** Those with these process ids that are there. */
  #backends(pids: readonly unknown[]): FakeClient[] {
    return [...this.#clients].filter(({ pid }) => pids.includes(pid));
  }

  /** The answer to a statement. @throws what PostgreSQL would */
  answer({ text, values, sentAt }: Question, client: FakeClient): Record<string, unknown>[] {
    if (text === 'write') {
      if (!this.isPrimary) throw Object.assign(new Error('read-only'), { code: '25006' });
      this.commit(values[0] as number);
      return [];
    }
    if (isRead(text)) {
      const { door, pipeline: isShared } = client;
      return [{ server: this, log: this.log, count: this.replayedCount, sentAt, door, isShared } satisfies Seen];
    }
    if (text.includes('system_identifier')) {
      return [
        {
          cluster_id: CLUSTER_ID,
          started_at: String(this.startedAt),
          version: '180000',
          block_bytes: '8192',
          segment_bytes: 16777216,
          pid: client.pid,
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
    if (text === CAP_STATEMENTS) return [{ is_capped: true }];
    if (text === BACKEND_ALIVE) return this.#backends([values[0]]).map(() => ({}));
    if (text === BACKENDS_RUNNING) {
      const running = this.#backends(values[0] as unknown[]).filter(({ readyForQuery }) => readyForQuery === false);
      return running.map((one) => ({ pid: one.pid, is_sending: false }));
    }
    if (text.includes('received_tli')) return [{ timeline: this.timeline }];
    if (text.includes('pg_current_snapshot')) return [{ next: '1', unfinished: [] }];
    return [];
  }
}

function formatted(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`;
}

/** A number that nobody had before. */
export function nextLife(): number {
  return ++lives;
}

/** Whether a read shows a commit: the logs of all servers are the same objects, as far as they agree. */
export function shows({ log, count }: Pick<Seen, 'log' | 'count'>, commit: Commit): boolean {
  const place = Number((commit.lsn - FIRST_LSN) / COMMIT_BYTES) - 1;
  return place < count && log[place] === commit;
}
