/**
 * `npm run bench:proxies`: the same mixed work directly and through the proxies that people put before their servers, with replay that keeps up and with
 * replay that stumbles: how fast, and how often somebody is shown less than he wrote. Exits 1 when this library shows or loses anything, with or without
 * a proxy before it.
 */
import { parseArgs } from 'node:util';
import { Progress } from '../src/cli/demo/progress.js';
import { findBinary } from './binaries.js';
import { callersOf, type Result, soundness } from './bounds.js';
import type { Servers, Spec } from './contenders/access.js';
import { interruptible } from './interruption.js';
import { describe, machineOf } from './machine.js';
import { count, resultFile } from './options.js';
import { haproxyBalanced } from './proxies/haproxy.js';
import { pgbouncer } from './proxies/pgbouncer.js';
import { pgpoolBalanced } from './proxies/pgpool.js';
import { RunningProxy } from './proxies/proxy.js';
import { recordText, writeFile } from './record.js';
import { compare, type Pace, type Standing } from './rounds.js';
import { Stage } from './stage.js';
import { boundsTable, standingsTable } from './tables.js';
import { titles } from './works.js';

const REPLICAS = 2;
const JITTER = { maxMillis: 100, share: 0.5 };

const usage = `npm run bench:proxies -- [--rounds 15] [--millis 250] [--callers 16] [--json file]\n`;

const progress = new Progress(process.stderr);

interface Entrant {
  readonly spec: Spec;
  readonly servers: Servers;
}

process.exitCode = await interruptible(async (signal) => {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '15' },
      millis: { type: 'string', default: '250' },
      callers: { type: 'string', default: '16' },
      json: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const rounds = count('--rounds', values.rounds, 1, 1_000);
  const pace = { rounds, roundMillis: count('--millis', values.millis, 1, 60_000) };
  try {
    return await bench(pace, count('--callers', values.callers, 1, 100), values.json, signal);
  } finally {
    progress.end();
  }
});

async function bench(pace: Pace, callers: number, jsonFile: string | undefined, signal: AbortSignal): Promise<number> {
  await using stage = await Stage.start(REPLICAS);
  console.log(describe(machineOf(stage.cluster.version, false)));
  const proxies: RunningProxy[] = [];
  try {
    const entrants = await enter(stage.servers, proxies, signal);
    return await measure({ stage, entrants, callers, pace, signal }, jsonFile);
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  }
}

/** Everybody who takes part. @param proxies gets those that were started, also when one of them fails */
async function enter(servers: Servers, proxies: RunningProxy[], signal: AbortSignal): Promise<Entrant[]> {
  const entrants: Entrant[] = [
    { spec: { driver: 'pg.Pool', name: 'pg.Pool, primary alone' }, servers },
    { spec: { driver: 'pg-ladder', name: 'pg-ladder' }, servers },
  ];
  for (const kind of [pgpoolBalanced, haproxyBalanced, pgbouncer]) {
    signal.throwIfAborted();
    const binary = findBinary(kind.binary);
    if (binary === undefined) {
      console.log(`${kind.binary} is left out: it is not installed (Debian: apt-get install ${kind.debianPackage}).`);
      continue;
    }
    const proxy = await RunningProxy.start(kind, binary, servers);
    proxies.push(proxy);
    const { entries } = proxy;
    const name = `pg.Pool, ${kind.binary}`;
    entrants.push({ spec: { driver: 'pg.Pool', name, trustsReplica: true }, servers: entries });
    if (kind === pgbouncer) {
      entrants.push({ spec: { driver: 'pg-ladder', name: 'pg-ladder, pgbouncer' }, servers: entries });
    }
  }
  return entrants;
}

interface Setting {
  readonly stage: Stage;
  readonly entrants: readonly Entrant[];
  readonly callers: number;
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

async function measure(setting: Setting, jsonFile: string | undefined): Promise<number> {
  const { stage, callers, pace } = setting;
  const results: (Result & { readonly replay: string })[] = [];
  for (const replay of ['keeps up', 'stumbles']) {
    const standings = await mixed(setting, replay === 'stumbles');
    console.log(standingsTable(`${titles.mixed}: ${callersOf(callers)}, replay ${replay}`, standings, pace));
    results.push({ work: 'mixed', callers, replicas: REPLICAS, replay, standings });
  }
  // How fast it is beside a bare pool is for the other benchmark to judge: here replay is held up on purpose.
  const verdicts = results.flatMap((result) =>
    soundness([result]).map((verdict) => ({ ...verdict, what: `replay ${result.replay}: ${verdict.what}` })),
  );
  console.log(boundsTable(verdicts));
  const file = jsonFile ?? (pace.rounds >= 15 ? resultFile('proxies.json') : undefined);
  if (file !== undefined) {
    writeFile(
      file,
      recordText({ machine: machineOf(stage.cluster.version, false), plan: pace, bounds: verdicts, results }),
    );
    progress.say(`wrote ${file}`);
  }
  return verdicts.every(({ isMet }) => isMet) ? 0 : 1;
}

/** @param stumbles whether replay is paused half of the time */
async function mixed({ stage, entrants, callers, pace, signal }: Setting, stumbles: boolean): Promise<Standing[]> {
  await stage.tidy();
  const millis = entrants.length * (pace.rounds * pace.roundMillis + 700);
  progress.begin(`${titles.mixed}, replay ${stumbles ? 'stumbles' : 'keeps up'}`, millis);
  const { replicas } = stage.cluster;
  const jitters = stumbles
    ? await Promise.all(replicas.map((replica, index) => replica.jitterReplay({ ...JITTER, seed: index + 1 })))
    : [];
  try {
    const contenders = entrants.map(({ spec, servers }) => stage.contender(spec, servers));
    return await compare(contenders, { work: 'mixed', callers }, pace, signal);
  } finally {
    await Promise.all(jitters.map((jitter) => jitter.stop()));
    progress.end();
  }
}
