/**
 * Sessions that write and read their own rows and others'; what they were shown, `torture-judge.ts` judges.
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
  // Numbers that are told by definitions, and raised with them.
  policy: 'select max(number) as orders from numbers where number > $1',
  view: 'select number as orders from numbered where id > $1',
} as const;
/** Those rows are the numbers that a policy and a view tell. */
export const DEFINED_ROWS = { policy: -1, view: -2 } as const;
type Form = keyof typeof READS;
export type Table = 'orders' | 'items';

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
  /** Whether numbers that definitions tell are read, too. */
  readonly hasDefinitions?: boolean;
  /** Between two sessions, in milliseconds. Default: none. */
  readonly pauseMillis?: number;
}

/** What a play has to do with its surroundings. */
export interface Surroundings {
  /** It goes on until then, and does not count. */
  isOver(): boolean;
  /** A session has ended. */
  ended(log: SessionLog): void;
  /** A session ends, since that was thrown in it: what it was shown before stands. */
  failed(error: unknown): void;
}

type Consistency = 'session' | 'eventual' | 'strong';

export interface Write {
  readonly kind: 'write';
  readonly row: number;
  readonly version: number;
  readonly sentAt: number;
  readonly ackAt: number;
}

export interface Read {
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
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** The same numbers for the same seed. */
export function randomOf(seed: number): () => number {
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
export async function play(cluster: Cluster, name: string, plan: Plan, around?: Surroundings): Promise<SessionLog[]> {
  const { seed, readCount, sessionCount, inherit, maxStalenessMillis, hasDefinitions, pauseMillis } = plan;
  const random = randomOf(seed);
  const logs: SessionLog[] = [];
  const handed: Handed[] = [];
  let left = readCount;
  let count = 0;
  // Popular rows come first: the chance of a row falls with its place, as in most traffic.
  const someRow = (): number => Math.floor(ROW_COUNT ** random());

  async function read(session: Session, row: number, steps: (Write | Read)[]): Promise<void> {
    left--;
    const defined = hasDefinitions !== true || random() > 0.1 ? undefined : random() < 0.5 ? 'policy' : 'view';
    const form = defined ?? ((['order', 'item', 'both'] as const)[Math.floor(random() * 3)] as Form);
    const wish = random();
    const consistency: Consistency = wish < 0.05 ? 'eventual' : wish < 0.07 ? 'strong' : 'session';
    const foreign = wish > 0.97 ? handed[Math.floor(random() * handed.length)] : undefined;
    const about = defined === undefined ? (foreign?.row ?? row) : DEFINED_ROWS[defined];
    const atLeast = about === foreign?.row ? foreign.version : undefined;
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
      steps.push({ kind: 'read', row: about, at, shown, consistency: held, isFor, rung, atLeast });
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
      while (around === undefined ? left > 0 : !around.isOver()) {
        const at = logs.length;
        const going = one(last, token);
        last = logs[at];
        if (around === undefined) {
          token = await going;
          continue;
        }
        token = await going.catch((error: unknown) => {
          around.failed(error);
          return undefined;
        });
        if (last !== undefined) around.ended(last);
        await new Promise((resolve) => setTimeout(resolve, pauseMillis));
      }
    }),
  );
  return logs;
}
