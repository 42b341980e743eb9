/**
 * `npm run bench:cache`: answers from caches beside what they stand on, their peers, and what people write by hand, on a real
 * primary, replicas and Redis. Exits 1 when a bound is missed with its whole interval.
 */
import { parseArgs } from 'node:util';
import { atLeast, atMost, callersOf, type Verdict } from './bounds.js';
import { type FloodResult, flood } from './cache/flood.js';
import { type HitResult, memoryHits, microsOf, redisHits, verdictsOfHits } from './cache/hits.js';
import { type ProfilesResult, profiles } from './cache/profiles.js';
import { Redis } from './cache/redis.js';
import { CACHE_SCHEMA, CACHE_SETTINGS } from './cache/statements.js';
import type { Contender } from './contenders/contender.js';
import { interruptible } from './interruption.js';
import { describe, machineOf } from './machine.js';
import { count, resultFile } from './options.js';
import { installPeers } from './peers.js';
import { rounded, writeFile } from './record.js';
import { compare, type Standing } from './rounds.js';
import { Stage } from './stage.js';
import { aligned, boundsTable, decimal, range, standingsTable, whole } from './tables.js';

const usage = `npm run bench:cache -- [options]

  --only regex     parts by their names: hit, redis, uncached, flood, profiles
  --rounds n       rounds of each comparison (15)
  --millis n       how long a contender runs in each round (250)
  --node file      a binary of Node for the contenders of hit, redis and uncached
  --before file    uncached: the index.js of a build without caches, to compare with
  --no-peers       this library, lru-cache and what people write by hand in memory
  --json file      where the results go; default: bench/results/cache.json for a whole run
`;

const FLOODS = 20;
const LEAST_UNCACHED = 0.98;
const LEAST_CUT = 4;
const UNCACHED_CALLERS = 16;
const ON = 'pg-ladder, caches on';
const OBSERVING = "pg-ladder, caches on, auto: 'observe'";

process.exitCode = await interruptible(async (signal) => {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      rounds: { type: 'string', default: '15' },
      millis: { type: 'string', default: '250' },
      node: { type: 'string' },
      before: { type: 'string' },
      json: { type: 'string' },
      'no-peers': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const only = new RegExp(values.only);
  const withPeers = !values['no-peers'];
  const pace = {
    rounds: count('--rounds', values.rounds, 1, 1_000),
    roundMillis: count('--millis', values.millis, 1, 60_000),
  };
  if (withPeers) await installPeers((text) => process.stderr.write(`${text}\n`), signal);
  await using stage = await Stage.start(2, undefined, values.node, CACHE_SETTINGS, CACHE_SCHEMA);
  await using redis = await Redis.start();
  const machine = machineOf(stage.cluster.version, withPeers, values.node);
  console.log(describe(machine));
  if (redis === undefined) console.log('Redis is left out: redis-server is not on the PATH.');
  const { servers } = stage;
  const place = { servers, redisPort: redis?.port, node: values.node, pace, signal };

  const hits: HitResult[] = [];
  const verdicts: Verdict[] = [];
  let uncached: readonly Standing[] | undefined;
  let flooded: FloodResult | undefined;
  let visited: readonly ProfilesResult[] | undefined;
  if (only.test('hit')) hits.push(...(await memoryHits(place, withPeers)));
  if (only.test('redis') && redis !== undefined && withPeers)
    hits.push(...(await redisHits({ ...place, redisPort: redis.port })));
  for (const result of hits) console.log(hitsTable(result));
  verdicts.push(...verdictsOfHits(hits));
  if (only.test('uncached')) {
    uncached = await readsWithout(stage, values.before);
    console.log(
      standingsTable(
        `reads that ask for no cache, ${UNCACHED_CALLERS} callers, by the process’s own time`,
        uncached,
        pace,
      ),
    );
    for (const { name, ratio, interval } of uncached.filter(({ name }) => name === ON || name === OBSERVING))
      verdicts.push(
        atLeast(`reads that ask for no cache, ${name}: over ${uncached[0]?.name}`, LEAST_UNCACHED, ratio, interval),
      );
  }
  if (only.test('flood')) {
    flooded = await flood(servers, FLOODS);
    const most = Math.max(...flooded.statementCounts);
    const what = `statements that reach the servers, ${whole(flooded.callers)} callers at once for one cold key`;
    verdicts.push(atMost(what, 1, most));
  }
  if (only.test('profiles')) {
    visited = await profiles(servers, redis?.port, pace.rounds, withPeers, signal);
    console.log(profilesTable(visited));
    const own = visited.find(({ name }) => name === 'pg-ladder');
    if (own !== undefined) {
      verdicts.push(atLeast('profiles: times fewer statements than without a cache', LEAST_CUT, own.cut));
      verdicts.push(atMost('profiles: stale reads of one’s own', 0, own.staleCount));
    }
  }
  if (verdicts.length > 0) console.log(boundsTable(verdicts));
  const jsonFile =
    values.json ??
    (values.only === '' && withPeers && values.node === undefined ? resultFile('cache.json') : undefined);
  const found = { machine, plan: pace, bounds: verdicts, hits, uncached, flood: flooded, profiles: visited };
  if (jsonFile !== undefined) writeFile(jsonFile, `${JSON.stringify({ runs: [found] }, rounded, 1)}\n`);
  return verdicts.every(({ isMet }) => isMet) ? 0 : 1;

  async function readsWithout(on: Stage, before: string | undefined): Promise<Standing[]> {
    const driver = 'pg-ladder' as const;
    const lineUp = [
      ...(before === undefined
        ? []
        : [{ driver, name: 'pg-ladder, before', build: new URL(before, `file://${process.cwd()}/`).href }]),
      { driver, name: 'pg-ladder, caches off' },
      { driver, name: ON, caches: true },
      { driver, name: OBSERVING, caches: 'observe' as const },
    ];
    const contenders = lineUp.map((spec) => byOwnTime(on.contender(spec)));
    return compare(contenders, { work: 'point', callers: UNCACHED_CALLERS }, pace, signal);
  }
});

/**
 * Operations in a second of the process's own time: two hundredths are to be seen, and on a shared machine others take more than
 * that of the time that passes.
 */
function byOwnTime(contender: Contender): Contender {
  return {
    name: contender.name,
    open: (task) => contender.open(task),
    close: () => contender.close(),
    stop: () => contender.stop(),
    async round(millis) {
      const sample = await contender.round(millis);
      return { ...sample, perSecond: 1e6 / (sample.cpuMicros ?? Number.NaN) };
    },
  };
}

function hitsTable({ work, rows, callers, standings }: HitResult): string {
  const where = work === 'cache-hit' ? 'from memory' : 'from Redis';
  const head = ['', 'a second', 'µs', '95 %', 'CPU µs', `× ${standings[0]?.name}`];
  const cells = standings.map((standing) => {
    const { micros, interval } = microsOf(standing);
    const { name, perSecond, cpuMicros, ratio } = standing;
    return [name, whole(perSecond), decimal(micros), range(interval), cpuMicros?.toFixed(2) ?? '', decimal(1 / ratio)];
  });
  const failures = standings.flatMap(({ name, firstError }) =>
    firstError === undefined ? [] : [`  ${name}: ${firstError}`],
  );
  const title = `\na hit ${where}: ${rows} row${rows === 1 ? '' : 's'} of ten columns, ${callersOf(callers)}`;
  return [title, ...aligned([head, ...cells]), ...failures].join('\n');
}

function profilesTable(results: readonly ProfilesResult[]): string {
  const head = ['', 'statements each', 'cut', 'a second', 'stale'];
  const cells = results.map(({ name, statementsPerOperation, cut, perSecond, staleCount, checkedCount }) => [
    name,
    statementsPerOperation.toFixed(3),
    decimal(cut),
    whole(perSecond),
    `${whole(staleCount)} of ${whole(checkedCount)}`,
  ]);
  return [
    '\n95 % looks at profiles and 5 % changes, zipf over 2,000, by 20,000 users where nothing else is said',
    ...aligned([head, ...cells]),
  ].join('\n');
}
