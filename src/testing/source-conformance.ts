/**
 * Holds a source of changes to what is asked of one, by writing to a real table and listening to what
 * it tells. It needs no test runner. What happens to a source whose server fails, it cannot play.
 */
import type { ChangeHandler, ChangeSource, ChangeStart, TableChange } from '../change-source.js';
import { performance, setTimeout } from '../clock.js';

const PATIENCE_MILLIS = 15_000;
/** What is told after `close` would come within so long. */
const QUIET_MILLIS = 500;
/** What is waited for may lie behind the header of a page that no record has followed yet. */
const NUDGE_MILLIS = 500;
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
   * body text)`. All its rows are lost. While the check runs, nobody else writes to it.
   */
  readonly table: string;
  /** How long the source may take to begin, and to tell a commit. Milliseconds, default 15,000. */
  readonly patienceMillis?: number;
}

type Told =
  | { readonly is: 'began'; readonly start: ChangeStart }
  | { readonly is: 'changed'; readonly changes: readonly TableChange[] | 'all'; readonly lsn: bigint }
  | { readonly is: 'reached'; readonly lsn: bigint }
  | { readonly is: 'broken'; readonly reason: string };

/** A commit of the check's own: its end lies behind `after`, and at or before `by`. */
interface Commit {
  readonly after: bigint;
  readonly by: bigint;
  /** The keys of the rows that it changed; `undefined` where any row may have changed. */
  readonly keys: readonly string[] | undefined;
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

/** Hears a source, and holds what it tells against what was written. */
class Ear implements ChangeHandler {
  readonly told: Told[] = [];
  /** What is wrong with what was told, whatever was written. */
  fault: string | undefined;
  readonly #table: string;
  readonly #patienceMillis: number;
  readonly #nudge: () => Promise<unknown>;
  #reached = -1n;
  #changedAt = -1n;

  /** @param nudge writes something to the log */
  constructor(table: string, patienceMillis: number, nudge: () => Promise<unknown>) {
    this.#nudge = nudge;
    this.#table = table;
    this.#patienceMillis = patienceMillis;
  }

  began(start: ChangeStart): void {
    if (this.told.some(({ is }) => is === 'began')) this.fault ??= 'it begins anew';
    else this.told.splice(0);
    this.told.push({ is: 'began', start });
    this.#reached = start.lsn;
    this.#changedAt = start.lsn;
  }

  changed(changes: readonly TableChange[] | 'all', lsn: bigint): void {
    if (!this.told.some(({ is }) => is === 'began')) this.fault ??= 'it tells changes before it has begun';
    if (lsn <= this.#reached) this.fault ??= 'it tells of a commit at or before a position that it had reached';
    if (lsn < this.#changedAt) this.fault ??= 'it tells commits in another order than that of the log';
    this.#changedAt = lsn;
    if (changes !== 'all')
      for (const { keyColumns, keys } of changes)
        if (keys?.some((key) => key.length !== keyColumns?.length))
          this.fault ??= 'a key has another number of values than there are key columns';
    this.told.push({ is: 'changed', changes, lsn });
  }

  reached(lsn: bigint): void {
    if (lsn < this.#reached) this.fault ??= 'it goes back behind a position that it had reached';
    this.#reached = lsn;
    this.told.push({ is: 'reached', lsn });
  }

  broken(reason: string): void {
    this.told.push({ is: 'broken', reason });
  }

  async begins(): Promise<ChangeStart> {
    const start = (): ChangeStart | undefined => this.told.flatMap((one) => (one.is === 'began' ? [one.start] : []))[0];
    await this.#until('it does not begin', () => start() !== undefined, true);
    return start() as ChangeStart;
  }

  async reaches(lsn: bigint): Promise<void> {
    const isThere = (): boolean => this.told.some((one) => one.is === 'reached' && one.lsn >= lsn);
    await this.#until('it does not reach the end of a commit', isThere);
  }

  /** Waits until it has reached the commit; by then it must have told all of it. @param isAll whether only `'all'` will do */
  async hears({ after, by, keys }: Commit, isAll = false): Promise<void> {
    await this.reaches(by);
    const end = this.told.findIndex((one) => one.is === 'reached' && one.lsn >= by);
    const missing = new Set<string | undefined>(keys ?? [undefined]);
    let isEarly = false;
    for (const one of this.told.slice(0, end)) {
      if (one.is !== 'changed') continue;
      const found = [...missing].filter((key) => (isAll ? one.changes === 'all' : this.#covers(one.changes, key)));
      // A key may have been told for a commit before.
      if (one.lsn <= after) isEarly ||= found.length > 0;
      else for (const key of found) missing.delete(key);
    }
    if (missing.size === 0) return;
    const [key] = missing;
    const what = key === undefined ? 'any row' : `the key ${JSON.stringify(key)}`;
    const early = isEarly ? ' (it was told at a position before the end of the commit, or of an earlier one)' : '';
    throw new Error(`it says that it has reached a commit, and has not told that ${what} changed${early}`);
  }

  /** @param key `undefined`: any row */
  #covers(changes: readonly TableChange[] | 'all', key: string | undefined): boolean {
    if (changes === 'all') return true;
    return changes.some(({ table, keyColumns, keys }) => {
      if (table !== this.#table) return false;
      if (keys === undefined || keyColumns === undefined) return true;
      return (
        key !== undefined && keyColumns.length === 1 && keyColumns[0] === 'id' && keys.some(([one]) => one === key)
      );
    });
  }

  async #until(otherwise: string, holds: () => boolean, isBeginning = false): Promise<void> {
    const endsAt = performance.now() + this.#patienceMillis;
    let nudgeAt = performance.now() + NUDGE_MILLIS;
    for (;;) {
      if (this.fault !== undefined) throw new Error(this.fault);
      const broken = this.told.find((one) => one.is === 'broken');
      // It may have to try several times to begin.
      if (broken?.is === 'broken' && !isBeginning) throw new Error(`it broke: ${broken.reason}`);
      if (holds()) return;
      if (performance.now() > endsAt) {
        const why = broken?.is === 'broken' ? `; it says: ${broken.reason}` : '';
        throw new Error(`${otherwise}, after ${this.#patienceMillis} ms${why}`);
      }
      if (performance.now() > nudgeAt) {
        nudgeAt = Number.POSITIVE_INFINITY;
        await this.#nudge();
      }
      await pause(5);
    }
  }

  /** What was told up to now is of no account. */
  forget(): void {
    this.told.splice(0);
  }
}

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

function pause(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis);
  });
}
