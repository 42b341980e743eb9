import { describe, expect, it } from 'vitest';
import type { ChangeHandler, ChangeSource, TableChange } from '../../../src/change-source.js';
import { type CheckedClient, checkChangeSource } from '../../../src/testing/source-conformance.js';

const TABLE = 'public.rows';

interface Written {
  /** `undefined`: any row. */
  readonly keys: readonly string[] | undefined;
  /** Where its rows were written. */
  readonly at: bigint;
}

interface Commit {
  readonly writes: readonly Written[];
  readonly begin: bigint;
  readonly end: bigint;
  readonly isDefinition: boolean;
}

/** A database with one table, as far as the check uses it: what is written, and a log. */
class World {
  lsn = 1_000_000n;
  readonly readers = new Set<(commit: Commit) => void>();

  readonly pool = { connect: async (): Promise<CheckedClient> => this.#client() };

  #client(): CheckedClient {
    let writes: Written[] | undefined;
    let saved = 0;
    let isDefinition = false;
    const commit = (): void => {
      const begin = this.lsn;
      this.lsn += 48n;
      const done = { writes: writes ?? [], begin, end: this.lsn, isDefinition };
      writes = undefined;
      isDefinition = false;
      for (const read of this.readers) read(done);
    };
    const run = (text: string): string | undefined => {
      if (text.includes('timeline')) return '00000003';
      if (text.includes('insert_lsn')) return String(this.lsn);
      if (text === 'begin') writes = [];
      else if (text === 'commit') commit();
      else if (text === 'rollback') writes = undefined;
      else if (text === 'savepoint s') saved = writes?.length ?? 0;
      else if (text === 'rollback to savepoint s') writes?.splice(saved);
      else if (text !== 'release savepoint s') {
        const isAlone = writes === undefined;
        writes ??= [];
        this.lsn += 64n;
        isDefinition ||= text.startsWith('alter');
        const keys = keysOf(text);
        if (keys?.length !== 0) writes.push({ keys, at: this.lsn });
        if (isAlone) commit();
      }
      return undefined;
    };
    return {
      query: async (text) => {
        await Promise.resolve();
        const value = run(text);
        return { rows: [{ timeline: value, lsn: value }] };
      },
      release: () => undefined,
    };
  }
}

function keysOf(text: string): readonly string[] | undefined {
  const [, from, to] = /generate_series\((\d+), (\d+)\) as i$/.exec(text) ?? [];
  if (from !== undefined)
    return Array.from({ length: Number(to) - Number(from) + 1 }, (_, at) => String(Number(from) + at));
  if (text.startsWith('insert')) return [/values \((-?\d+)/.exec(text)?.[1] ?? ''];
  if (text.startsWith('update') || text.startsWith('delete')) {
    const set = /set id = (\d+)/.exec(text)?.[1];
    const key = /where id = (-?\d+)/.exec(text)?.[1] ?? '';
    return set === undefined ? [key] : [key, set];
  }
  return text.startsWith('truncate') ? undefined : [];
}

/** How a source tells what it has read. */
type Tells = (commit: Commit, handler: ChangeHandler, later: (fn: () => void) => void) => void;

function changesOf({ writes, isDefinition }: Commit): readonly TableChange[] | 'all' {
  if (isDefinition) return 'all';
  return writes.map(({ keys }) => ({ table: TABLE, keyColumns: ['id'], keys: keys?.map((key) => [key]) }));
}

const rightly: Tells = (commit, handler) => {
  const changes = changesOf(commit);
  if (changes.length > 0) handler.changed(changes, commit.end);
  handler.reached(commit.end);
};

interface Habits {
  readonly tells?: Tells;
  readonly keepsTelling?: boolean;
  readonly tables?: readonly string[];
  readonly startsAhead?: bigint;
  readonly tellsDefinitions?: boolean;
}

function sourceOf(world: World, habits: Habits = {}): ChangeSource {
  const { tells = rightly, tables = [TABLE], startsAhead = 0n, tellsDefinitions = true } = habits;
  return {
    subscribe: (handler) => {
      let isOpen = true;
      const read = (commit: Commit): void => void setTimeout(() => isOpen && tells(commit, handler, later), 1);
      const later = (fn: () => void): void => void setTimeout(() => isOpen && fn(), 30);
      setTimeout(() => {
        world.readers.add(read);
        handler.began({ timeline: 3, lsn: world.lsn + startsAhead, tables, tellsDefinitions });
      }, 1);
      return {
        close: async () => {
          if (habits.keepsTelling) return;
          isOpen = false;
          world.readers.delete(read);
        },
      };
    },
  };
}

/** Tells other keys than there are. */
const withKeys =
  (change: (key: string, commit: Commit) => readonly string[]): Tells =>
  (commit, handler) => {
    const changes = changesOf(commit);
    const told =
      changes === 'all'
        ? changes
        : changes.map((one) => ({
            ...one,
            keys: one.keys?.flatMap(([key = '']) => change(key, commit).map((each) => [each])),
          }));
    if (told.length > 0) handler.changed(told, commit.end);
    handler.reached(commit.end);
  };

const faults: [what: string, promise: RegExp, habits: Habits][] = [
  ['names its tables without their schema', /begins at a position/, { tables: ['rows'] }],
  ['begins ahead of the server', /begins at a position/, { startsAhead: 10_000n }],
  [
    'reads keys as doubles',
    /told by its key.*9007199254740993/,
    { tells: withKeys((key) => [BigInt(Number(key)).toString()]) },
  ],
  [
    'tells a changed key by the new one only',
    /told by both keys.*"10"/,
    { tells: withKeys((key, { writes }) => (writes[0]?.keys?.length === 2 && key === '10' ? [] : [key])) },
  ],
  [
    'tells where a commit begins',
    /told at a position before the end/,
    {
      tells: (commit, handler) => {
        const changes = changesOf(commit);
        if (changes.length > 0) handler.changed(changes, commit.begin);
        handler.reached(commit.end);
      },
    },
  ],
  [
    'tells a large commit up to a thousand rows',
    /all rows of one commit/,
    {
      tells: withKeys((key, { writes }) =>
        (writes[0]?.keys?.length ?? 0) > 1_000 && Number(key) > 1_099 ? [] : [key],
      ),
    },
  ],
  [
    'hears no TRUNCATE',
    /after TRUNCATE/,
    {
      tells: (commit, handler) =>
        rightly(
          { ...commit, writes: commit.writes.filter(({ keys }) => keys !== undefined) },
          handler,
          () => undefined,
        ),
    },
  ],
  [
    'tells where rows were written',
    /a position that it had reached/,
    {
      tells: (commit, handler) => {
        const changes = changesOf(commit);
        const at = commit.writes[0]?.keys?.[0] === '20' ? commit.writes[0].at : commit.end;
        if (changes.length > 0) handler.changed(changes, at);
        handler.reached(commit.end);
      },
    },
  ],
  [
    'says that it has reached what it tells later',
    /a position that it had reached|has not told/,
    {
      tells: (commit, handler, later) => {
        handler.reached(commit.end);
        later(() => rightly(commit, handler, later));
      },
    },
  ],
  [
    'goes back',
    /goes back/,
    {
      tells: (commit, handler) => {
        rightly(commit, handler, () => undefined);
        handler.reached(commit.begin);
      },
    },
  ],
  [
    'waits for its own tables to be written',
    /reaches what is written elsewhere|does not reach/,
    { tells: (commit, handler) => commit.writes.length > 0 && rightly(commit, handler, () => undefined) },
  ],
  [
    'tells a definition as a change of one table',
    /tells definitions/,
    {
      tells: (commit, handler, later) =>
        rightly({ ...commit, isDefinition: false, writes: [{ keys: undefined, at: commit.begin }] }, handler, later),
    },
  ],
  [
    'breaks',
    /it broke: no reason/,
    {
      tells: (commit, handler, later) =>
        commit.writes.length > 0 ? handler.broken('no reason') : rightly(commit, handler, later),
    },
  ],
  ['tells on when it is closed', /once it is closed nothing more/, { keepsTelling: true }],
];

describe('the check of sources of changes', () => {
  it('accepts a source that does what it has to, also one that tells tables only, and no definitions', async () => {
    const world = new World();
    await checkChangeSource({ source: sourceOf(world), pool: world.pool, table: TABLE });
    const tells: Tells = (commit, handler) => {
      if (commit.writes.length > 0) handler.changed([{ table: TABLE }], commit.end + 8n);
      handler.reached(commit.end + 8n);
    };
    const source = sourceOf(world, { tells, tellsDefinitions: false });
    await checkChangeSource({ source, pool: world.pool, table: TABLE });
  });

  it.each(faults)('finds a source that %s', async (_what, promise, habits) => {
    const world = new World();
    const check = { source: sourceOf(world, habits), pool: world.pool, table: TABLE, patienceMillis: 1_000 };
    await expect(checkChangeSource(check)).rejects.toThrow(promise);
  });
});
