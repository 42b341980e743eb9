/** What is played on processes that share a log: who writes, who hears, and whether what they say holds. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import type { RelayRole } from '../../../src/changes/relay-stats.js';
import { RunningClock, signal, until } from '../../behaviour/fixture.js';
import type { Order, Report, Told } from './changes-process.js';
import { RedisServer } from './redis-server.js';

const PROGRAM = fileURLToPath(new URL('./changes-process.ts', import.meta.url));
/** Between two commits. */
const PAUSE_MILLIS = 5;

/** Inserts keys, one after the other, and notes where each commit had ended. */
class Writer implements AsyncDisposable {
  /** At each key a position behind its commit. */
  readonly ends: bigint[] = [0n];
  readonly committedAt: number[] = [0];
  readonly #client: Client;
  readonly #ended = signal();
  #isEnding = false;

  private constructor(client: Client) {
    this.#client = client;
    void this.#write();
  }

  static async start(connectionString: string): Promise<Writer> {
    const client = new Client({ connectionString });
    await client.connect();
    await client.query('truncate items');
    return new Writer(client);
  }

  async #write(): Promise<void> {
    while (!this.#isEnding) {
      const key = this.ends.length;
      await this.#client.query('insert into items values ($1)', [key]);
      this.committedAt[key] = performance.timeOrigin + performance.now();
      const { rows } = await this.#client.query<{ lsn: string }>(
        "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as lsn",
      );
      this.ends[key] = BigInt(rows[0]?.lsn ?? '');
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLIS));
    }
    this.#ended.give();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    await this.#ended.given;
    await this.#client.end();
  }
}

export class Participant {
  readonly told: Told[] = [];
  role: RelayRole = 'waiting';
  reached = 0n;
  /** Of the last thing that it was told. */
  isBroken = true;
  readonly #child: ChildProcess;

  constructor(order: Order) {
    this.#child = fork(PROGRAM, [JSON.stringify(order)], { execArgv: ['--import', 'tsx'] });
    this.#child.on('message', (message) => this.#hear(message as Report));
  }

  #hear({ role, told }: Report): void {
    this.role = role;
    for (const one of told) {
      this.told.push(one);
      if (one.kind === 'broken') this.isBroken = true;
      if (one.kind === 'began') this.isBroken = false;
      if (one.kind === 'reached') this.reached = BigInt(one.lsn);
    }
  }

  hasReached(lsn: bigint): boolean {
    return !this.isBroken && this.reached >= lsn;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async end(how: 'asked' | 'killed' = 'killed'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    if (how === 'asked') this.#child.send('end');
    else this.#child.kill('SIGKILL');
    await gone;
  }
}

/** What a process was told is all that happened, as far as it says so. @returns how often it has said so */
function judge({ told }: Participant, { ends }: Writer): number {
  let begun: bigint | undefined;
  let reachedCount = 0;
  let checked = 1;
  const keys = new Set<number>();
  for (const one of told) {
    if (one.kind === 'broken') begun = undefined;
    else if (one.kind === 'began') {
      begun = BigInt(one.lsn);
      checked = 1;
      keys.clear();
    } else if (one.kind === 'changed') for (const key of one.keys) keys.add(key);
    else {
      if (begun === undefined) throw new Error('it says how far it is, and has not begun');
      reachedCount++;
      for (; checked < ends.length && (ends[checked] ?? 0n) <= BigInt(one.lsn); checked++) {
        if ((ends[checked - 1] ?? 0n) < begun || keys.has(checked)) continue;
        throw new Error(`it has reached ${one.lsn}, and was not told of key ${checked}`);
      }
    }
  }
  return reachedCount;
}

export class Play implements AsyncDisposable {
  /** Those that live. */
  readonly processes: Participant[] = [];
  readonly #everyone: Participant[] = [];
  readonly redis: RedisServer;
  readonly writer: Writer;
  readonly #order: Order;

  private constructor(redis: RedisServer, writer: Writer, order: Order) {
    this.redis = redis;
    this.writer = writer;
    this.#order = order;
  }

  /** @param binary of Redis @param port of Redis */
  static async begin(primary: string, binary: string, library: Order['library'], port?: number): Promise<Play> {
    const redis = await RedisServer.start(binary, [], port);
    const writer = await Writer.start(primary);
    const play = new Play(redis, writer, { primary, redisPort: redis.port, library, lock: redis.port });
    for (let i = 0; i < 3; i++) play.add();
    await play.recovers('all hear');
    return play;
  }

  add(): Participant {
    const added = new Participant(this.#order);
    this.processes.push(added);
    this.#everyone.push(added);
    return added;
  }

  /** It lives no more. */
  async remove(one: Participant, how: 'asked' | 'killed'): Promise<void> {
    await one.end(how);
    this.processes.splice(this.processes.indexOf(one), 1);
  }

  get leader(): Participant {
    const leader = this.processes.find(({ role }) => role === 'leading');
    if (leader === undefined) throw new Error('nobody reads the log');
    return leader;
  }

  get followers(): Participant[] {
    return this.processes.filter(({ role }) => role === 'following');
  }

  /** @returns how long it took until all of them have heard a commit that is made from now on */
  async recovers(what: string, those: readonly Participant[] = this.processes): Promise<number> {
    const clock = new RunningClock();
    const key = this.writer.ends.length;
    await until(what, () => {
      const end = this.writer.ends[key];
      return end !== undefined && those.every((one) => one.hasReached(end));
    });
    clock.stop();
    return clock.now();
  }

  /** Resolves when nobody hears anything but the one that reads. */
  async isSilent(): Promise<void> {
    await until('all others are silent', () =>
      this.processes.every(({ isBroken, role }) => isBroken || role === 'leading'),
    );
  }

  /** @returns how often somebody has said how far it is @throws Error when that was not so */
  judge(): number {
    return this.#everyone.reduce((sum, one) => sum + judge(one, this.writer), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#everyone.map((one) => one.end()));
    await this.writer[Symbol.asyncDispose]();
    await this.redis.stop();
  }
}
