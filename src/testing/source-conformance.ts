/**
 * Holds a source of changes to what is asked of one, by writing to a real table and listening to what
 * it tells. It needs no test runner. What happens to a source whose server fails, it cannot play.
 */
import type { ChangeSource, ChangeStart } from '../change-source.js';
import { type Commit, Ear, pause } from './source-ear.js';

const PATIENCE_MILLIS = 15_000;
/** What is told after `close` would come within so long. */
const QUIET_MILLIS = 500;
const NUDGE = "select pg_logical_emit_message(true, 'check', '')";
/** More than a double holds. */
const LARGE_KEY = 9_007_199_254_740_993n;

/** What is used of a `pg.Pool`. */
export interface CheckedPool {
  connect(): Promise<CheckedClient>;
}
/** What is used of a client of it. */
export interface CheckedClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
  release(): void;
}

export interface ChangeSourceCheck {
  readonly source: ChangeSource;
  /** Leads to the primary whose changes the source tells; of a database that only tests use. */
  readonly pool: CheckedPool;
  /**
   * A table that the source tells of, as `schema.name`, made by `create table … (id bigint primary key,
   * body text)`. All its rows are lost. While the check runs, nothing else writes to it.
   */
  readonly table: string;
  /** How long the source may take to begin, and to tell a commit. Milliseconds, default 15,000. */
  readonly patienceMillis?: number;
}

/** One subscription, and a table to write to. */
interface Stage {
  readonly ear: Ear;
  readonly table: string;
  readonly one: CheckedClient;
  readonly other: CheckedClient;
  readonly start: ChangeStart;
}

/** Each with what it holds a source to, in words that an error can begin with. */
const CHECKS: readonly [promise: string, check: (stage: Stage) => Promise<void>][] = [
  [
    'it begins at a position that the server has reached, with the tables that it tells of',
    async ({ start, table, one }) => {
      same(start.tables.includes(table), true, `the table among ${JSON.stringify(start.tables)}`);
      same(start.lsn <= (await position(one)), true, 'a position that the server has reached');
      const { rows } = await one.query('select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline');
      same(start.timeline, Number.parseInt(String(rows[0]?.['timeline']), 16), 'the timeline');
    },
  ],
  [
    'a row that is inserted, updated or deleted is told by its key, as PostgreSQL writes it',
    async ({ ear, table, one }) => {
      for (const key of ['1', '-1', String(LARGE_KEY), '4611686018427387904']) {
        for (const text of [
          `insert into ${table} values (${key}, 'a')`,
          `update ${table} set body = 'b' where id = ${key}`,
          `delete from ${table} where id = ${key}`,
        ])
          await ear.hears(await commit(one, [text], [key]));
      }
    },
  ],
  [
    'a row whose key changes is told by both keys, also where a long value stays as it was',
    async ({ ear, table, one }) => {
      const long = `(select string_agg(md5(i::text), '') from generate_series(1, 4000) as i)`;
      await ear.hears(await commit(one, [`insert into ${table} values (10, ${long})`], ['10']));
      await ear.hears(await commit(one, [`update ${table} set id = 11 where id = 10`], ['10', '11']));
      await ear.hears(await commit(one, [`update ${table} set body = body where id = 11`], ['11']));
    },
  ],
  [
    'all rows of one commit are told, also of a large one, and of one with savepoints',
    async ({ ear, table, one }) => {
      const keys = Array.from({ length: 3_000 }, (_, at) => String(100 + at));
      const insert = `insert into ${table} select i, 'a' from generate_series(100, 3099) as i`;
      await ear.hears(await commit(one, [insert], keys));
      const texts = [
        `update ${table} set body = 'b' where id = 100`,
        'savepoint s',
        `update ${table} set body = 'b' where id = 101`,
        'rollback to savepoint s',
        'savepoint s',
        `update ${table} set body = 'b' where id = 102`,
        'release savepoint s',
      ];
      await ear.hears(await commit(one, texts, ['100', '102']));
    },
  ],
  [
    'after TRUNCATE any row counts as changed',
    async ({ ear, table, one }) => ear.hears(await commit(one, [`truncate ${table}`], undefined)),
  ],
  [
    'a transaction that commits late is told at its end, not where its rows were written',
    async ({ ear, table, one, other }) => {
      await one.query('begin');
      await one.query(`insert into ${table} values (20, 'late')`);
      await ear.hears(await commit(other, [`insert into ${table} values (21, 'early')`], ['21']));
      const after = await position(one);
      await one.query('commit');
      await ear.hears({ after, by: await position(one), keys: ['20'] });
    },
  ],
  [
    'what many write at once is told before the source says that it has reached it',
    async ({ ear, table, one, other }) => {
      const write = async (client: CheckedClient, from: number): Promise<Commit[]> => {
        const commits: Commit[] = [];
        for (let key = from; key < from + 50; key++)
          commits.push(await commit(client, [`insert into ${table} values (${key}, 'a')`], [String(key)]));
        return commits;
      };
      for (const each of (await Promise.all([write(one, 10_000), write(other, 20_000)])).flat()) await ear.hears(each);
    },
  ],
  [
    'it reaches what is written elsewhere, too',
    async ({ ear, one }) => ear.reaches((await commit(one, [NUDGE], [])).by),
  ],
  [
    'a source that tells definitions tells them',
    async ({ ear, table, one, start }) => {
      if (!start.tellsDefinitions) return;
      for (const text of [`alter table ${table} add column more int`, `alter table ${table} drop column more`])
        await ear.hears(await commit(one, [text], undefined), true);
    },
  ],
];

/**
 * Checks that a source of changes does what pg-ladder asks of one. For tests of a source of your own,
 * such as one over Debezium or wal2json, on a scratch database: it writes to the table, and empties it.
 * @throws (rejects) Error that says which promise was broken, and how
 */
export async function checkChangeSource(check: ChangeSourceCheck): Promise<void> {
  const { source, pool, table, patienceMillis = PATIENCE_MILLIS } = check;
  const one = await pool.connect();
  const other = await pool.connect();
  try {
    await one.query(`truncate ${table}`);
    const nudge = (): Promise<unknown> => other.query(NUDGE);
    await listen(source, new Ear(table, patienceMillis, nudge), async (ear, start) => {
      for (const [promise, play] of CHECKS)
        await stating(promise, async () => {
          await play({ ear, table, one, other, start });
          if (ear.fault !== undefined) throw new Error(ear.fault);
        });
    });
    const last = 'who subscribes again hears all from there on, and once it is closed nothing more';
    await stating(last, async () => {
      const again = await listen(source, new Ear(table, patienceMillis, nudge), async (ear) => {
        await ear.hears(await commit(one, [`insert into ${table} values (30, 'a')`], ['30']));
      });
      again.forget();
      await commit(one, [`insert into ${table} values (31, 'a')`], ['31']);
      await pause(QUIET_MILLIS);
      same(again.told.length, 0, 'what was told after it was closed');
    });
  } finally {
    await one.query('rollback').catch(() => undefined);
    await one.query(`truncate ${table}`).catch(() => undefined);
    one.release();
    other.release();
  }
}

/** @returns what has listened */
async function listen(
  source: ChangeSource,
  ear: Ear,
  play: (ear: Ear, start: ChangeStart) => Promise<void>,
): Promise<Ear> {
  const subscription = source.subscribe(ear);
  try {
    await play(ear, await stating('it begins by itself', () => ear.begins()));
  } finally {
    await subscription.close();
  }
  return ear;
}

async function stating<T>(promise: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    const why = String(Object(cause).message ?? cause);
    throw why.startsWith(BEGINNING) ? cause : new Error(`${BEGINNING} ${promise}: ${why}`, { cause });
  }
}
const BEGINNING = 'change source:';

/** Runs the texts in one transaction. */
async function commit(client: CheckedClient, texts: readonly string[], keys: Commit['keys']): Promise<Commit> {
  await client.query('begin');
  try {
    for (const text of texts) await client.query(text);
    const after = await position(client);
    await client.query('commit');
    return { after, by: await position(client), keys };
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** How far the log has been written. Where a page is full, it is told behind the next page's header. */
async function position(client: CheckedClient): Promise<bigint> {
  const { rows } = await client.query("select (pg_current_wal_insert_lsn() - '0/0')::text as lsn");
  return BigInt(String(rows[0]?.['lsn']));
}

function same(found: unknown, expected: unknown, what: string): void {
  if (found !== expected) throw new Error(`expected ${what}: ${String(expected)}, found ${String(found)}`);
}
