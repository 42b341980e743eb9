/**
 * `npm run bench`: the library beside what it wraps and its peers, on a real primary and replica, in one run. Figures of one
 * machine mean little; their ratios within one run are what is claimed. Exits 1 when a bound is missed with its whole interval.
 */
import { parseArgs } from 'node:util';
import pg from 'pg';
import postgres from 'postgres';
import { Publisher } from '../src/events.js';
import { Floor } from '../src/freshness/floor.js';
import { type Cluster, createCluster } from '../src/index.js';
import { Fleet } from '../src/nodes/fleet.js';
import { settingsFrom } from '../src/options.js';
import { startTestCluster, type TestCluster } from '../src/testing/index.js';
import { type Contender, compare, intervalOfMedian, median, type Plan, type Standing } from './rounds.js';

const { values: flags } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, millis: { type: 'string', default: '400' } },
});
const plan: Plan = { rounds: Number(flags.rounds), callers: 16, roundMillis: Number(flags.millis) };
const ROWS = 10_000;
let missed = 0;

const servers = await startTestCluster({ replicas: 1 });
try {
  await benchRoute(servers);
  await benchStatements(servers);
} finally {
  await servers.stop();
}
process.exitCode = missed > 0 ? 1 : 0;

async function benchRoute({ primary, replicas }: TestCluster): Promise<void> {
  const replicaUrl = replicas[0]?.connectionString ?? '';
  const settings = settingsFrom({
    primary: primary.connectionString,
    replicas: ['r1', 'r2', 'r3'].map((name) => ({ name, connectionString: replicaUrl })),
  });
  const fleet = new Fleet(settings, new Publisher());
  for (const node of fleet.nodes) await node.refresh();
  const floor = new Floor();
  floor.wrote(performance.now(), fleet.trail.history.timeline);
  for (const node of fleet.nodes) await node.refresh();
  const need = {
    floor,
    requirement: settings,
    target: undefined,
    partitionKey: undefined,
    trace: undefined,
    priority: 'normal' as const,
    giveUpAt: Number.POSITIVE_INFINITY,
  };
  const calls = 200_000;
  const micros: number[] = [];
  for (let round = 0; round <= plan.rounds; round++) {
    const startedAt = performance.now();
    for (let i = 0; i < calls; i++) {
      if (typeof fleet.choose(need, performance.now()) === 'string') throw new Error('the decision must be a replica');
    }
    if (round > 0) micros.push(((performance.now() - startedAt) * 1000) / calls);
  }
  await fleet.close();
  const [low, high] = intervalOfMedian(micros);
  console.log('\na cached route decision, a floor and three replicas');
  console.log(
    `  ${median(micros).toFixed(3)} µs  [${low.toFixed(3)}, ${high.toFixed(3)}]  bound 2 µs: ${verdict(low <= 2)}`,
  );
}

async function benchStatements({ primary, replicas }: TestCluster): Promise<void> {
  const replicaUrl = replicas[0]?.connectionString ?? '';
  const cluster = createCluster({ primary: primary.connectionString, replicas: [replicaUrl] });
  const primaryPool = new pg.Pool({ connectionString: primary.connectionString });
  const replicaPool = new pg.Pool({ connectionString: replicaUrl });
  const sql = postgres(replicaUrl, { max: 10, prepare: false, onnotice: () => undefined });
  await primaryPool.query('create table items (id int primary key, value int not null)');
  await primaryPool.query('insert into items select i, 0 from generate_series(0, $1) i', [ROWS - 1]);
  await replicas[0]?.waitForReplay();
  while (cluster.stats().nodes.some((node) => node.state !== 'live')) await new Promise((r) => setTimeout(r, 5));

  const read = 'select value from items where id = $1';
  const write = 'update items set value = value + 1 where id = $1';
  const id = (): number => Math.floor(Math.random() * ROWS);
  const inSession = sessionOf(cluster);
  await show('a read by primary key', 'pg-ladder', 0.9, [
    { name: 'pg.Pool', run: () => replicaPool.query(read, [id()]) },
    { name: 'pg-ladder', run: () => cluster.read(read, [id()]) },
    { name: 'postgres.js', run: () => sql.unsafe(read, [id()]) },
  ]);
  await show('an update in a session', 'pg-ladder', 0.9, [
    { name: 'pg.Pool', run: () => primaryPool.query(write, [id()]) },
    { name: 'pg-ladder', run: (caller) => inSession(caller, () => cluster.write(write, [id()])) },
  ]);
  await show('an update, then a read that must see it', undefined, 0, [
    {
      name: 'pg.Pool, both on the primary',
      run: async (caller) => {
        await primaryPool.query(write, [caller]);
        await primaryPool.query(read, [caller]);
      },
    },
    {
      name: 'pg-ladder',
      run: (caller) =>
        inSession(caller, async () => {
          await cluster.write(write, [caller]);
          await cluster.read(read, [caller]);
        }),
    },
  ]);
  await Promise.all([cluster.close(), primaryPool.end(), replicaPool.end(), sql.end()]);
}

/** Each caller in a session of its own, opened anew for each operation as a request handler does. */
function sessionOf(cluster: Cluster): (caller: number, fn: () => Promise<unknown>) => Promise<unknown> {
  return (_caller, fn) => cluster.session(fn, { inherit: 'none' });
}

async function show(
  what: string,
  judged: string | undefined,
  bound: number,
  contenders: readonly Contender[],
): Promise<void> {
  process.stderr.write(`  … ${what}\r`);
  const standings = await compare(contenders, plan);
  console.log(`\n${what}: ${plan.callers} callers, ${plan.rounds} rounds, ratio to ${contenders[0]?.name}`);
  for (const standing of standings) console.log(line(standing, standing.name === judged ? bound : undefined));
}

function line({ name, perSecond, ratio, interval: [low, high] }: Standing, bound: number | undefined): string {
  const figures = `  ${name.padEnd(30)}${Math.round(perSecond).toString().padStart(8)}/s  ${ratio.toFixed(2)}  [${low.toFixed(2)}, ${high.toFixed(2)}]`;
  return bound === undefined ? figures : `${figures}  bound ${bound}: ${verdict(high >= bound)}`;
}

function verdict(isMet: boolean): string {
  if (!isMet) missed++;
  return isMet ? 'met' : 'MISSED';
}
