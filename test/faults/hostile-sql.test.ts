import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../../src/execute/load-catalog.js';
import { Fleet } from '../../src/nodes/fleet.js';
import { settingsFrom } from '../../src/options/cluster.js';
import { Publisher } from '../../src/publisher.js';
import { type CatalogRows, CatalogTooLargeError } from '../../src/sql/catalog-rows.js';
import { hintOf } from '../../src/sql/hint.js';
import { definesSomething, openingOf } from '../../src/sql/statement-start.js';
import { Classifier } from '../../src/statements/classifier.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, report, size } from '../behaviour/fixture.js';
import { Random } from '../simulation/random.js';
import { hostileTexts, randomHint, randomText } from '../unit/sql/hostile-texts.js';

const EMPTY: CatalogRows = {
  searchPath: ['public'],
  functions: [],
  relations: [],
  operators: [],
  types: [],
  resolution: { operators: [], functions: [], records: [], kin: [], casts: [] },
};

const classifierOf = (rows: CatalogRows): Classifier =>
  new Classifier({
    load: () => Promise.resolve(rows),
    grammarMissing: () => undefined,
    readOnlyFunctions: [],
    catalogRefreshMillis: 2 ** 31,
    rejectsInvalidHints: false,
  });

/** Of this process's own time, in milliseconds: what other processes take does not count. */
const busyMillis = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

const LONGEST_MILLIS = 1_000;
const MAX_GROWTH_BYTES = 600 * 2 ** 20;

describe('SQL that means harm', () => {
  let classifier: Classifier;
  let serial = 0;
  beforeAll(async () => {
    classifier = classifierOf(EMPTY);
    await classifier.ready();
  });

  /** No text is met twice. @returns how long it kept the process busy */
  const classify = async (text: string): Promise<number> => {
    const startedAt = busyMillis();
    const found = await classifier.classify(text);
    classifier.misrouted(text);
    expect(['read', 'write', 'session']).toContain(found.class);
    return busyMillis() - startedAt;
  };
  const stillReads = async (): Promise<void> => {
    const found = await classifier.classify(`select ${serial++}, 'it''s' || $1 where $2 = any (array[1, 2])`);
    expect(found).toMatchObject({ class: 'read', isSingle: true });
  };

  it('leaves the grammar as it was, after 33 texts with 8,000 operators in a chain', async () => {
    for (const operator of ['+', '||', '^', ' and ', "->'a'->"]) {
      for (let i = 0; i < 33; i++) await classify(`select ${i}${`${operator}a`.repeat(8_000)}`);
      await stillReads();
    }
  });

  it('leaves the grammar as it was, however deep, long or broken it is, and holds nobody up', async () => {
    let longest = 0;
    for (const [length, count] of [
      [3_900, size(1, 33)],
      [16_000, size(1, 33)],
      [1_000_000, 1],
      [2_000_000, size(0, 1)],
    ] as const) {
      for (const [name, text] of hostileTexts(length)) {
        for (let i = 0; i < count; i++) {
          const millis = await classify(`${text} --${serial++}`);
          expect(millis, `${name}, ${length} characters`).toBeLessThan(LONGEST_MILLIS);
          longest = Math.max(longest, millis);
        }
        await stillReads();
      }
    }
    report('hostile texts', { 'longest ms': longest, 'rss MB': process.memoryUsage().rss / 2 ** 20 });
  });

  it('leaves the grammar as it was when it is put together by chance, and takes no more memory', async () => {
    const count = size(500, 100_000);
    const seed = Number(process.env['SEED'] ?? 17);
    const random = new Random(seed);
    let longest = 0;
    const before = process.memoryUsage().rss;
    for (let i = 0; i < count; i++) {
      const text = randomText(random);
      const millis = await classify(text);
      expect(millis, `seed ${seed}, text ${i}`).toBeLessThan(LONGEST_MILLIS);
      longest = Math.max(longest, millis);
      if (i % 50 === 0) await stillReads();
    }
    await stillReads();
    const growth = process.memoryUsage().rss - before;
    expect(growth).toBeLessThan(MAX_GROWTH_BYTES);
    report('random SQL', { texts: count, 'longest ms': longest, 'growth MB': growth / 2 ** 20 });
  });

  it('is told by its first words in a time that goes with its length', () => {
    const startedAt = busyMillis();
    for (const [, text] of hostileTexts(1_000_000)) {
      definesSomething(text);
      openingOf(text);
    }
    for (const piece of [' ', '--\n', ';--', '; /*', '/*;*/', '(']) {
      definesSomething(piece.repeat(3_000_000));
      openingOf(piece.repeat(3_000_000));
    }
    // Some 10 ms each; what grew with the square would take hours.
    expect(busyMillis() - startedAt).toBeLessThan(60_000);
  });

  it('may begin with any comment: it is a hint that makes sense, or none, or an error that says what is wrong', () => {
    const count = size(2_000, 100_000);
    const random = new Random(17);
    for (let i = 0; i < count; i++) {
      const text = randomHint(random);
      const startedAt = busyMillis();
      try {
        const { target, consistency, maxStalenessMillis = 0, partitionKey = '' } = hintOf(text) ?? {};
        expect([undefined, 'primary', 'replica']).toContain(target);
        expect([undefined, 'eventual', 'session', 'strong']).toContain(consistency);
        expect(Number.isFinite(maxStalenessMillis) && maxStalenessMillis >= 0).toBe(true);
        expect(partitionKey.length).toBeLessThanOrEqual(1_024);
      } catch (error) {
        expect(error).toMatchObject({ code: 'LADDER_INVALID_OPTIONS' });
        expect((error as Error).message.length).toBeLessThan(200);
      }
      expect(busyMillis() - startedAt).toBeLessThan(LONGEST_MILLIS);
    }
  });
});

describe('functions left behind by a role that may create some', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 0 });
  });
  afterAll(() => servers.stop());

  it('cost that they are writes themselves, and nobody else anything', async () => {
    await using cluster = await open(servers);
    const deep = `select 1${'+1'.repeat(8_000)}`;
    await cluster.write(`do $$ begin
      set local check_function_bodies = off;
      for i in 1..40 loop
        execute format('create function lower(%s) returns int immutable language sql as %L', repeat('int, ', i) || 'int', ${quoted(deep)});
        execute format('create function deep_%s() returns int immutable language sql as %L', i, ${quoted(deep)});
        execute format('create function tangled_%s() returns int immutable language sql as %L', i,
          'select ' || (select string_agg('tangled_' || j || '()', ', ') from generate_series(1, 40) j));
        execute format('create function link_%s() returns int immutable language sql as %L', i, case when i < 40 then 'select link_' || i + 1 || '()' else 'select 1' end);
      end loop;
      for i in 41..400 loop
        execute format('create function link_%s() returns int immutable language sql as %L', i, 'select link_' || i + 1 || '()');
      end loop;
      create function link_401() returns int immutable language sql as 'select 1';
      create function long() returns int immutable language sql as $f$ select 1 /* ${'x'.repeat(100_000)} */ $f$;
      create function honest() returns int immutable language sql as 'select 1';
    end $$`);
    expect(await classOf(cluster, "select lower('A')")).toBe('read');
    for (let i = 1; i <= 40; i++) expect(await classOf(cluster, `select deep_${i}()`)).toBe('write');
    expect(await classOf(cluster, 'select tangled_1()')).toBe('read');
    expect(await classOf(cluster, 'select link_1()')).toBe('read');
    expect(await classOf(cluster, 'select link_41()')).toBe('write');
    expect(await classOf(cluster, 'select long()')).toBe('write');
    expect(await classOf(cluster, 'select honest(), link_390()')).toBe('read');
    expect(await classOf(cluster, 'select 1')).toBe('read');
  });

  it('are not read at all when there is more of them than a process should hold', async () => {
    const fleet = new Fleet(settingsFrom({ primary: servers.primary.connectionString }), new Publisher('shop'));
    fleet.monitor.start();
    try {
      expect((await loadCatalog(fleet)).functions.length).toBeGreaterThan(500);
      await expect(loadCatalog(fleet, 10_000)).rejects.toBeInstanceOf(CatalogTooLargeError);
      expect((await loadCatalog(fleet)).functions.length).toBeGreaterThan(500);
    } finally {
      await fleet.close();
    }
  });

  const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  const classOf = async (cluster: Awaited<ReturnType<typeof open>>, text: string): Promise<string> =>
    (await cluster.explain(text)).class;
});
