/**
 * `npm run bench:classify`: what finding out about a statement costs, by its length, the first time and later, next to a look at its first keyword (which is
 * wrong about every second nasty statement, and is here for scale). Exits 1 when a bound is missed with its whole interval.
 */

import { createCluster } from '../src/index.js';
import { Catalog } from '../src/sql/catalog.js';
import type { CatalogRows, FunctionRow } from '../src/sql/catalog-rows.js';
import { Grammar } from '../src/sql/grammar.js';
import { Classifier } from '../src/statements/classifier.js';
import { judgeText } from '../src/statements/judge-text.js';
import { startTestCluster } from '../src/testing/index.js';
import { intervalOfMedian, median } from './rounds.js';

const ROUNDS = 15;
const FIRST_KEYWORD = /^\s*(select|with|show|table|values|explain)\b/i;

const usual = [
  'select name from users where id = $1',
  'select * from orders where user_id = $1 and state = $2 order by created_at desc limit 20',
  'select o.id, o.total, u.name from orders o join users u on u.id = o.user_id where o.state = $1 and o.total > $2',
  'select date_trunc($1, created_at) as day, count(*), sum(total) from orders group by 1 order by 1',
  "with recent as (select * from orders where created_at > now() - interval '1 day') select count(*) from recent where state = $1",
  'select u.*, (select count(*) from orders o where o.user_id = u.id) as orders from users u where lower(u.email) = lower($1)',
  'update users set name = $1, updated_at = now() where id = $2 returning *',
  'insert into orders (user_id, total, state) values ($1, $2, $3) returning id',
];
const relation = (name: string) => ({
  schema: 'public',
  name,
  kind: 'r',
  persistence: 'p',
  definition: null,
  policies: null,
  hidden: null,
  rowType: '16384',
  columns: ['23 id', '25 name'],
  memberCount: 0,
});
const rows: CatalogRows = {
  searchPath: ['pg_catalog', 'public'],
  functions: [],
  relations: ['users', 'orders'].map(relation),
  operators: [],
  types: [],
  resolution: { operators: [], functions: [], records: [], kin: [], casts: [] },
};

const grammar = await Grammar.load();
const classifier = new Classifier({
  load: async () => rows,
  grammarMissing: () => undefined,
  readOnlyFunctions: [],
  catalogRefreshMillis: 2 ** 31,
  rejectsInvalidHints: true,
});
await classifier.ready();
for (const text of usual) await classifier.classify(text);
const isRefused = () => false;
let missed = 0;

/** Microseconds of one call. */
function timed(calls: number, run: (i: number) => unknown): number {
  const startedAt = performance.now();
  for (let i = 0; i < calls; i++) run(i);
  return ((performance.now() - startedAt) * 1_000) / calls;
}

function show(what: string, micros: readonly number[], bound?: number): void {
  const [low, high] = intervalOfMedian(micros);
  const isMet = bound === undefined || low <= bound;
  if (!isMet) missed++;
  const verdict = bound === undefined ? '' : `  bound ${bound} µs: ${isMet ? 'met' : 'MISSED'}`;
  console.log(
    `  ${what.padEnd(42)} ${median(micros).toFixed(3).padStart(9)} µs  [${low.toFixed(3)}, ${high.toFixed(3)}]${verdict}`,
  );
}

const rounds = (run: () => number): number[] => Array.from({ length: ROUNDS }, run);
const texts = (i: number): string => usual[i % usual.length] as string;

console.log('a text that is known');
show(
  'first keyword',
  rounds(() => timed(200_000, (i) => FIRST_KEYWORD.test(texts(i)))),
);
const now = performance.now();
show(
  'pg-ladder',
  rounds(() => timed(200_000, (i) => classifier.known(texts(i), now))),
  1,
);

console.log('\na text that is new: the 95th percentile of usual statements');
const p95 = rounds(() => {
  const micros = Array.from({ length: 400 }, (_, i) => {
    const text = `${texts(i)} -- ${Math.random()}`;
    const catalog = new Catalog(rows, grammar, []);
    return timed(1, () => judgeText(text, grammar, catalog, isRefused));
  }).sort((a, b) => a - b);
  return micros[Math.floor(micros.length * 0.95)] as number;
});
show('pg-ladder', p95, 200);

console.log('\na text that is new, by its length');
for (const terms of [1, 10, 100, 1_000]) {
  const text = `select * from orders where ${Array.from({ length: terms }, (_, i) => `total > ${i}`).join(' or ')}`;
  const catalog = new Catalog(rows, grammar, []);
  show(
    `${text.length} characters`,
    rounds(() => timed(Math.ceil(200 / terms), () => judgeText(text, grammar, catalog, isRefused))),
  );
}

console.log('\nthe catalogue of a server with 10,000 functions');
const servers = await startTestCluster({ replicas: 0 });
try {
  await using cluster = createCluster({ primary: servers.primary.connectionString });
  await cluster.write(
    `do $$ begin for i in 1..10000 loop execute format('create function f%s(a int, b text default null) returns int stable language sql as ''select a + %s''', i, i); end loop; end $$`,
  );
  await cluster.ready();
  const { loadCatalog } = await import('../src/execute/load-catalog.js');
  const { Fleet } = await import('../src/nodes/fleet.js');
  const { settingsFrom } = await import('../src/options/cluster.js');
  const { Publisher } = await import('../src/publisher.js');
  const fleet = new Fleet(settingsFrom({ primary: servers.primary.connectionString }), new Publisher('shop'));
  fleet.monitor.start();
  const millis: number[] = [];
  for (let i = 0; i <= ROUNDS; i++) {
    const startedAt = performance.now();
    const loaded: readonly FunctionRow[] = (await loadCatalog(fleet)).functions;
    if (loaded.length < 10_000) throw new Error('the catalogue is not whole');
    if (i > 0) millis.push(performance.now() - startedAt);
  }
  await fleet.close();
  show(
    'loading it',
    millis.map((one) => one * 1_000),
    300_000,
  );
} finally {
  await servers.stop();
}
process.exitCode = missed > 0 ? 1 : 0;
