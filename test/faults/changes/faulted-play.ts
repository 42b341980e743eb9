/**
 * Three processes that write and read through clusters with caches and changes, on three servers, while faults befall
 * them. What each of them was shown is kept for the judge; each fault is measured until all of them advance again.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseLsn } from '../../../src/freshness/lsn.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { type OpenLink, openLink } from '../../../src/testing/link.js';
import { RunningClock, report, until } from '../../behaviour/fixture.js';
import { DEFINED_ROWS, now, type Plan, ROW_COUNT, type SessionLog, type Write } from '../cache/torture.js';
import { ask } from '../promoted.js';
import type { Order, Standing, Word } from './faulted-process.js';

const PROGRAM = fileURLToPath(new URL('./faulted-process.ts', import.meta.url));
const PLAYERS = 3;
/** Processes that start all at once keep each other busy. */
const START_MILLIS = 120_000;
const NUMBERS = 10_000;

/** One process. */
export class Player {
  readonly name: string;
  readonly logs: SessionLog[] = [];
  /** Its network to each server, in their order. */
  readonly links: readonly OpenLink[];
  standing: Standing | undefined;
  #isOver = false;
  readonly #child: ChildProcess;

  constructor(order: Order, links: readonly OpenLink[]) {
    this.name = order.name;
    this.links = links;
    this.#child = fork(PROGRAM, [JSON.stringify(order)], { execArgv: ['--import', 'tsx'] });
    this.#child.on('message', (word: Word) => {
      this.logs.push(...(word.logs ?? []));
      this.standing = word.standing ?? this.standing;
      this.#isOver ||= word.isOver === true;
    });
  }

  get isGone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** It ends by itself, or is killed. */
  async end(how: 'asked' | 'killed'): Promise<void> {
    if (!this.isGone) {
      if (how === 'asked') this.#child.send('end');
      else this.#child.kill('SIGKILL');
    }
    await until(`${this.name} has ended`, () => this.isGone && (how === 'killed' || this.#isOver));
    await Promise.all(this.links.map((link) => link.close()));
  }
}

export interface FaultedOptions {
  readonly seed: number;
  readonly sessionCount: number;
  readonly pauseMillis: number;
  readonly redisPort?: number;
  /** Whether the log of the replica is read that will be promoted. */
  readonly isSourceHeir?: boolean;
  /** Whether event triggers tell of definitions. */
  readonly hasTriggers?: boolean;
}

export const MAX_STALENESS_MILLIS = 8_000;

export class FaultedPlay implements AsyncDisposable {
  readonly servers: TestCluster;
  /** Those that live. */
  readonly players: Player[] = [];
  readonly #everyone: Player[] = [];
  readonly #options: FaultedOptions;
  readonly #definitions: Write[] = [];
  #defined = 0;
  #count = 0;
  /** Follows the primary, and has whatever was acknowledged. */
  readonly heir: TestNode;
  primary: TestNode;
  /** How long each fault took, in milliseconds. */
  readonly figures: [what: string, millis: number][] = [];

  private constructor(servers: TestCluster, heir: TestNode, options: FaultedOptions) {
    this.servers = servers;
    this.primary = servers.primary;
    this.heir = heir;
    this.#options = options;
  }

  /** @param sql what is set up beside the tables */
  static async begin(options: FaultedOptions, sql: readonly string[]): Promise<FaultedPlay> {
    const heir = options.seed % 2;
    const servers = await startTestCluster({
      replicas: 2,
      primarySettings: { synchronous_standby_names: `r${heir + 1}` },
      settings: { max_slot_wal_keep_size: '1GB' },
    });
    const play = new FaultedPlay(servers, servers.replicas[heir] as TestNode, options);
    try {
      await play.#setUp(sql);
      await Promise.all(Array.from({ length: PLAYERS }, () => play.add()));
      await until(
        `all advance: ${play.told()}`,
        () => play.players.every(({ standing }) => standing?.advancedCount),
        START_MILLIS,
      );
      return play;
    } catch (error) {
      await play[Symbol.asyncDispose]();
      throw new Error(`the play did not begin: ${play.told()}`, { cause: error });
    }
  }

  async #setUp(sql: readonly string[]): Promise<void> {
    const tables = [
      `create role app login replication password '${this.primary.password}'`,
      'create table orders (id int primary key, version int not null)',
      'create table items (order_id int primary key references orders, version int not null)',
      `insert into orders select i, 0 from generate_series(0, ${ROW_COUNT}) as i`,
      'insert into items select id, 0 from orders',
      'create table numbers (number int primary key)',
      `insert into numbers select generate_series(0, ${NUMBERS})`,
      'alter table numbers enable row level security',
      'create policy numbered on numbers using (number <= 0)',
      'create table fixed (id int primary key)',
      'insert into fixed values (1)',
      'create view numbered as select id, 0 as number from fixed',
      'grant select, update on orders, items to app',
      'grant select on numbers, fixed, numbered to app',
      'create publication pg_ladder for table orders, items, numbers, fixed',
    ];
    for (const text of [...tables, ...sql]) await ask(this.primary, text);
    for (const [i, replica] of this.servers.replicas.entries()) {
      await replica.waitForReplay();
      await replica.jitterReplay({ seed: this.#options.seed + i, maxMillis: 120, share: 0.3 });
    }
  }

  /** Another process takes part. */
  async add(): Promise<Player> {
    const { seed, sessionCount, pauseMillis, redisPort, isSourceHeir } = this.#options;
    const index = this.#count++;
    const name = `player${index}`;
    const links = await Promise.all(this.servers.nodes.map((node) => openLink(node)));
    const nodes = this.servers.nodes.map((node, i) => ({
      name: node.name,
      connectionString: `postgres://app:${node.password}@127.0.0.1:${links[i]?.port}/postgres?application_name=${name}`,
    }));
    const plan: Plan = {
      seed: seed + index,
      readCount: 0,
      sessionCount,
      inherit: 'none',
      maxStalenessMillis: MAX_STALENESS_MILLIS,
      hasDefinitions: true,
      pauseMillis,
    };
    const source = isSourceHeir ? this.heir.name : undefined;
    const player = new Player({ nodes, name, redisPort, source, plan }, links);
    this.#everyone.push(player);
    await until(`${name} has begun`, () => player.standing !== undefined, START_MILLIS);
    this.players.push(player);
    return player;
  }

  async remove(player: Player): Promise<void> {
    this.players.splice(this.players.indexOf(player), 1);
    await player.end('killed');
  }

  /** The process that reads the log, and the backend that sends it; one of several where each does. */
  async tailer(): Promise<{ readonly player: Player; readonly pid: number; readonly node: TestNode }> {
    const node = this.#options.isSourceHeir ? this.heir : this.primary;
    let found: { player: Player; pid: number; node: TestNode } | undefined;
    await until('somebody reads the log', async () => {
      const rows = await ask<{ pid: number; name: string }>(
        node,
        `select pid, application_name as name from pg_replication_slots join pg_stat_activity on pid = active_pid
         where slot_type = 'logical' order by application_name`,
      );
      for (const { pid, name } of rows) {
        const player = this.players.find((one) => name.startsWith(one.name));
        if (player !== undefined) found = { player, pid, node };
      }
      return found !== undefined;
    });
    return found as { player: Player; pid: number; node: TestNode };
  }

  /** The numbers that definitions tell are raised. */
  async define(): Promise<void> {
    const number = ++this.#defined;
    const texts = {
      policy: `alter policy numbered on numbers using (number <= ${number})`,
      view: `create or replace view numbered as select id, ${number} as number from fixed`,
    };
    for (const kind of ['policy', 'view'] as const) {
      const sentAt = now();
      await ask(this.primary, texts[kind]);
      this.#definitions.push({ kind: 'write', row: DEFINED_ROWS[kind], version: number, sentAt, ackAt: now() });
    }
  }

  /** Resolves when all of them have advanced beyond what was written after the fault. */
  async recovers(what: string, fault: () => Promise<unknown>, those: readonly Player[] = this.players): Promise<void> {
    await fault();
    const clock = new RunningClock();
    try {
      await this.define();
      const [row] = await ask<{ lsn: string }>(this.primary, 'select concat(pg_current_wal_flush_lsn()) as lsn');
      const lsn = parseLsn(row?.lsn ?? '') ?? 0n;
      const [line] = await ask<{ timeline: number }>(
        this.primary,
        "select ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int as timeline",
      );
      const counts = new Map<Player, number>();
      const advances = (player: Player): boolean => {
        const { standing } = player;
        if (standing?.lsn === undefined || standing.timeline !== line?.timeline) return false;
        if ((parseLsn(standing.lsn) ?? 0n) < lsn) return false;
        const count = counts.get(player) ?? standing.advancedCount;
        counts.set(player, count);
        return standing.advancedCount > count;
      };
      const advanced = new Set<Player>();
      await until(`all advance after: ${what}`, () => {
        for (const player of those) if (advances(player)) advanced.add(player);
        return those.every((player) => advanced.has(player));
      }).catch((error: unknown) => {
        throw new Error(`${String(error)}: ${this.told()}`);
      });
    } finally {
      clock.stop();
    }
    this.figures.push([what, clock.now()]);
    report(what, { 'milliseconds until all advance': clock.now() });
  }

  told(): string {
    return this.#everyone.map(({ name, standing }) => `${name} ${JSON.stringify(standing)}`).join('\n');
  }

  /** All of them end. @returns what they were shown */
  async end(): Promise<SessionLog[]> {
    await Promise.all(this.players.splice(0).map((player) => player.end('asked')));
    const definitions = { id: 'definitions', continues: undefined, steps: this.#definitions };
    return [...this.#everyone.flatMap(({ logs }) => logs), definitions];
  }

  /** What is left on the servers: slots, whatever they keep, and connections. */
  async leftovers(): Promise<unknown[]> {
    const left = await Promise.all(
      this.servers.nodes
        .filter(({ running }) => running)
        .map((node) =>
          ask(
            node,
            `select concat(slot_name, ' keeps from ', restart_lsn) as what from pg_replication_slots
           union all select application_name from pg_stat_activity where application_name like 'player%'`,
          ),
        ),
    );
    return left.flat();
  }

  /** Errors that sessions have met, by their codes. */
  errors(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const { standing } of this.#everyone)
      for (const [what, count] of Object.entries(standing?.errors ?? {})) sum[what] = (sum[what] ?? 0) + count;
    return sum;
  }

  shares(): Record<string, number> {
    const sum = (of: (standing: Standing) => number): number =>
      this.#everyone.reduce((all, { standing }) => all + (standing === undefined ? 0 : of(standing)), 0);
    return { hits: sum(({ hitCount }) => hitCount), advanced: sum(({ advancedCount }) => advancedCount) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#everyone.map((player) => player.end('killed')));
    await this.servers.stop();
  }
}
