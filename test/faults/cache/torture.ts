/**
 * Sessions that write and read their own rows and others', and the judge of what they were shown.
 * Times are those of the machine, so that several processes can be judged together.
 */
import type { QueryResult } from 'pg';
import { type Cluster, routeOf, type Session, type SessionOptions } from '../../../src/index.js';

/** Both tables have these rows, and each write raises a row's version in both, in one statement. */
export const ROW_COUNT = 2_000;
const WRITE = `with raised as (update orders set version = version + 1 where id = $1 returning version)
  update items set version = (select version from raised) where order_id = $1 returning version`;

/** The reads, each with the columns that it has. */
const READS = {
  order: 'select version as orders from orders where id = $1',
  item: 'select version as items from items where order_id = $1',
  both: `select o.version as orders, i.version as items from orders as o join items as i on i.order_id = o.id
    where o.id = $1`,
} as const;
type Form = keyof typeof READS;
type Table = 'orders' | 'items';

export type Monotonic = 'all' | 'tables';
export type Inherit = 'none' | 'process';

export interface Plan {
  readonly seed: number;
  readonly readCount: number;
  /** How many sessions run at a time. */
  readonly sessionCount: number;
  readonly inherit: Inherit;
  /** How old what is read may be, in milliseconds. */
  readonly maxStalenessMillis: number;
}

type Consistency = 'session' | 'eventual' | 'strong';

interface Write {
  readonly kind: 'write';
  readonly row: number;
  readonly version: number;
  readonly sentAt: number;
  readonly ackAt: number;
}

interface Read {
  readonly kind: 'read';
  readonly row: number;
  readonly at: number;
  readonly shown: Partial<Record<Table, number>>;
  readonly consistency: Consistency;
  /** Whether a cache may answer it. */
  readonly isFor: boolean;
  readonly rung: string;
  /** A version that a token stood for. */
  readonly atLeast: number | undefined;
}

/** What one session did, in order. */
export interface SessionLog {
  readonly id: string;
  /** The session whose token this one came with, reads included. */
  readonly continues: string | undefined;
  readonly steps: readonly (Write | Read)[];
}

/** Milliseconds that all processes of a machine agree on. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** The same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Handed {
  readonly token: string;
  readonly row: number;
  readonly version: number;
}

/** @param name tells the sessions of several processes apart */
export async function play(cluster: Cluster, name: string, plan: Plan): Promise<SessionLog[]> {
  const { seed, readCount, sessionCount, inherit, maxStalenessMillis } = plan;
  const random = randomOf(seed);
  const logs: SessionLog[] = [];
  const handed: Handed[] = [];
  let left = readCount;
  let count = 0;
  // Popular rows come first: the chance of a row falls with its place, as in most traffic.
  const someRow = (): number => Math.floor(ROW_COUNT ** random());

  async function read(session: Session, row: number, steps: (Write | Read)[]): Promise<void> {
    left--;
    const form = (['order', 'item', 'both'] as const)[Math.floor(random() * 3)] as Form;
    const wish = random();
    const consistency: Consistency = wish < 0.05 ? 'eventual' : wish < 0.07 ? 'strong' : 'session';
    const foreign = wish > 0.97 ? handed[Math.floor(random() * handed.length)] : undefined;
    const about = foreign?.row ?? row;
    // Not all code asks for caches.
    const cache = random() > 0.1;
    const dice = random();
    const at = now();
    const options = { consistency, cache, maxStalenessMillis, atLeast: foreign?.token };
    type Row = Partial<Record<Table, number>>;
    const run = (by: Session) => by.read<Row>(READS[form], [about], options);
    const isJoint = dice < 0.02;
    const told = (result: QueryResult<Row>, held = consistency): void => {
      const rung = routeOf(result)?.rung ?? 'none';
      const isFor = cache && consistency !== 'strong' && !isJoint;
      const shown = result.rows[0] ?? {};
      steps.push({ kind: 'read', row: about, at, shown, consistency: held, isFor, rung, atLeast: foreign?.version });
    };
    // Some read within a session of their own, and some in a transaction, which work can leave again.
    if (isJoint) {
      await cluster.transaction(
        async (client) => {
          await cluster.outsideTransaction(() => read(session, row, steps));
          // It was begun before, and is held to what had been seen by then.
          told(await client.query<Row>(READS[form], [about]), 'eventual');
        },
        { readOnly: true, consistency, maxStalenessMillis, atLeast: foreign?.token },
      );
    } else told(await (dice > 0.95 ? cluster.session(run) : run(session)));
  }

  async function one(continued: SessionLog | undefined, token: string | undefined): Promise<string | undefined> {
    const steps: (Write | Read)[] = [];
    const id = `${name}.${++count}`;
    logs.push({ id, continues: token === undefined ? undefined : continued?.id, steps });
    const options: SessionOptions = { inherit, token, monotonicAcrossRequests: true };
    return cluster.session(async (session) => {
      const [own, other] = [someRow(), someRow()];
      // Four reads and a fifth of a write: 95 to 5.
      const writesAt = random() < 4 / 19 ? Math.floor(random() * 4) : -1;
      for (let i = 0; i < 4; i++) {
        if (i === writesAt) {
          const sentAt = now();
          const { rows } = await session.write<{ version: number }>(WRITE, [own]);
          const version = rows[0]?.version ?? 0;
          steps.push({ kind: 'write', row: own, version, sentAt, ackAt: now() });
          if (random() < 0.3) handed.push({ token: await session.token(), row: own, version });
        }
        await read(session, random() < 0.6 ? own : other, steps);
      }
      return random() < 0.1 ? session.token().catch(() => undefined) : undefined;
    }, options);
  }

  await Promise.all(
    Array.from({ length: sessionCount }, async () => {
      let token: string | undefined;
      let last: SessionLog | undefined;
      while (left > 0) {
        const at = logs.length;
        token = await one(last, token);
        last = logs[at];
      }
    }),
  );
  return logs;
}

export interface Verdict {
  readonly readCount: number;
  /** Reads that missed what their session had written, or what a token stood for. */
  stale: number;
  /** Reads that missed what had been acknowledged for longer than their bound. */
  beyond: number;
  /** Reads that showed less than their session had seen. */
  backwards: number;
  /** Answers that no state of the database can have given. */
  torn: number;
  /** Answers from caches, of all that were to be had from caches. */
  readonly hitShares: Record<string, string>;
}

/** Acknowledged writes of one row, by version. */
type History = (Write | undefined)[];

function historiesOf(logs: readonly SessionLog[]): Map<number, History> {
  const histories = new Map<number, History>();
  for (const { steps } of logs) {
    for (const step of steps) {
      if (step.kind === 'read') continue;
      const history = histories.get(step.row) ?? [];
      histories.set(step.row, history);
      history[step.version] = step;
    }
  }
  return histories;
}

/** The newest version of a row that had been acknowledged by then. */
function acknowledgedBy(history: History | undefined, at: number): number {
  if (history === undefined) return 0;
  for (let version = history.length - 1; version > 0; version--) {
    const write = history[version];
    if (write !== undefined && write.ackAt < at) return version;
  }
  return 0;
}

/** What a session has seen. */
interface Seen {
  readonly own: Map<number, number>;
  /** The newest version of each row of each table. */
  readonly versions: Map<string, number>;
  /** The start of the latest write that was seen, of each table: all that was acknowledged before is to be seen. */
  readonly frontier: Record<Table, number>;
}

const clean = (): Seen => ({
  own: new Map(),
  versions: new Map(),
  frontier: { orders: Number.NEGATIVE_INFINITY, items: Number.NEGATIVE_INFINITY },
});

const TABLES = ['orders', 'items'] as const;

/** @param logs of all who wrote */
export function judge(logs: readonly SessionLog[], monotonic: Monotonic, maxStalenessMillis: number): Verdict {
  const histories = historiesOf(logs);
  const seenBy = new Map<string, Seen>();
  const tally = new Tally();
  const allCount = logs.reduce((sum, { steps }) => sum + steps.length, 0);
  const verdict = { readCount: 0, stale: 0, beyond: 0, backwards: 0, torn: 0 };

  function judgeRead(read: Read, seen: Seen): void {
    const { row, at, shown, consistency, atLeast = 0 } = read;
    const history = histories.get(row);
    verdict.readCount++;
    // The first ones find nothing yet.
    if (verdict.readCount > allCount / 3) tally.count(read, history);
    const isHeld = consistency !== 'eventual';
    const own = isHeld ? (seen.own.get(row) ?? 0) : 0;
    const strong = consistency === 'strong' ? acknowledgedBy(history, at) : 0;
    const bound = acknowledgedBy(history, at - maxStalenessMillis);
    const tables = TABLES.filter((table) => shown[table] !== undefined);
    const versions = tables.map((table) => shown[table] as number);
    if (tables.length === 0 || new Set(versions).size !== 1) verdict.torn++;
    if (versions.some((version) => version < own || version < strong || version < atLeast)) verdict.stale++;
    if (versions.some((version) => version < bound)) verdict.beyond++;
    const counting = monotonic === 'all' ? TABLES : tables;
    const needed = counting.map((table) =>
      Math.max(seen.versions.get(`${table} ${row}`) ?? 0, acknowledgedBy(history, seen.frontier[table])),
    );
    if (isHeld && versions.some((version) => version < Math.max(...needed))) verdict.backwards++;
    for (const table of tables) {
      const key = `${table} ${row}`;
      const version = shown[table] as number;
      seen.versions.set(key, Math.max(seen.versions.get(key) ?? 0, version));
      const sentAt = history?.[version]?.sentAt;
      if (sentAt !== undefined) seen.frontier[table] = Math.max(seen.frontier[table], sentAt);
    }
  }

  for (const { id, continues, steps } of logs) {
    // A session with the token of another goes on from there.
    const seen = (continues === undefined ? undefined : seenBy.get(continues)) ?? clean();
    seenBy.set(id, seen);
    for (const step of steps) {
      if (step.kind === 'read') judgeRead(step, seen);
      else {
        seen.own.set(step.row, Math.max(seen.own.get(step.row) ?? 0, step.version));
        for (const table of TABLES) seen.frontier[table] = Math.max(seen.frontier[table], step.sentAt);
      }
    }
  }
  return { ...verdict, hitShares: tally.shares() };
}

/** Counts which reads were answered from caches. */
class Tally {
  readonly #counts = new Map<string, { hits: number; all: number }>();

  count({ rung, consistency, at, isFor }: Read, history: History | undefined): void {
    if (!isFor) return;
    const isHit = rung === 'memory' || rung === 'shared';
    const latest = history?.[acknowledgedBy(history, at)];
    const isRecent = latest !== undefined && at - latest.ackAt < 1_000;
    for (const what of ['all', consistency, ...(isRecent ? ['written in the last second'] : [])]) {
      const counts = this.#counts.get(what) ?? { hits: 0, all: 0 };
      this.#counts.set(what, counts);
      counts.all++;
      if (isHit) counts.hits++;
    }
  }

  shares(): Record<string, string> {
    const entries = [...this.#counts].map(([what, { hits, all }]) => [what, `${Math.round((100 * hits) / all)} %`]);
    return Object.fromEntries(entries) as Record<string, string>;
  }
}
