/**
 * `npm run bench`: the library beside what it wraps and its peers, on a real primary and replicas, in one run. Figures of one machine mean
 * little; their ratios within one run are what is claimed. Exits 1 when a bound is missed with its whole interval.
 */
import { Progress } from '../src/cli/demo/progress.js';
import { findBinary } from './binaries.js';
import { callersOf, type Result, routeVerdict, type Verdict, verdictsOf } from './bounds.js';
import { chartOf } from './chart.js';
import { interruptible } from './interruption.js';
import { describe, type Machine, machineOf } from './machine.js';
import { type BenchOptions, benchOptions, usage } from './options.js';
import { installPeers } from './peers.js';
import { type Trial, trialsOf } from './plan.js';
import { recordText, writeFile } from './record.js';
import { compare } from './rounds.js';
import { routeDecisionMicros } from './route-decision.js';
import { ServerCpu } from './server-cpu.js';
import { Stage } from './stage.js';
import { boundsTable, tableOf } from './tables.js';
import { titles } from './works.js';

const progress = new Progress(process.stderr);
/** A contender's way into a comparison: its process, its connections, its warm-up. */
const OPEN_MILLIS = 1_200;

process.exitCode = await interruptible(async (signal) => {
  const options = benchOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  try {
    return await bench(options, signal);
  } finally {
    progress.end();
  }
});

async function bench(options: BenchOptions, signal: AbortSignal): Promise<number> {
  if (options.withPeers) await installPeers((text) => progress.say(text), signal);
  const pgbench = findBinary('pgbench');
  if (pgbench === undefined) {
    console.log(
      'pgbench is left out: it is not on the PATH (Debian has it in the package postgresql-15 and the like).',
    );
  }
  const trials = trialsOf({ ...options, withPgbench: pgbench !== undefined });
  if (trials.length === 0 && !options.only.test('route')) throw new Error(`--only: no work matches ${options.only}`);
  const results: Result[] = [];
  const verdicts: Verdict[] = [];
  let machine: Machine | undefined;
  for (const replicas of new Set(trials.map((trial) => trial.replicas))) {
    await using stage = await Stage.start(replicas, pgbench, options.node);
    if (machine === undefined) {
      machine = machineOf(stage.cluster.version, options.withPeers, options.node);
      console.log(describe(machine));
    }
    for (const trial of trials.filter((one) => one.replicas === replicas)) {
      const result = await run(trial, stage, options, signal);
      progress.end();
      console.log(tableOf(result, options));
      results.push(result);
    }
  }
  if (options.only.test('route')) verdicts.push(await routeDecision(options.rounds, signal));
  verdicts.push(...verdictsOf(results));
  if (verdicts.length > 0) console.log(boundsTable(verdicts));
  if (machine !== undefined) write({ options, machine, results, verdicts });
  return verdicts.every(({ isMet }) => isMet) ? 0 : 1;
}

async function run(trial: Trial, stage: Stage, options: BenchOptions, signal: AbortSignal): Promise<Result> {
  const { work, callers, replicas, lineUp } = trial;
  signal.throwIfAborted();
  await stage.tidy();
  const roundsMillis = lineUp.map(
    ({ driver }) =>
      options.rounds * (driver === 'pgbench' ? Math.max(1_000, options.roundMillis) : options.roundMillis),
  );
  const millis = roundsMillis.reduce((sum, one) => sum + one + OPEN_MILLIS, 0);
  progress.begin(`${titles[work]}, ${callersOf(callers)}, replicas ${replicas}`, millis);
  const contenders = lineUp.map((spec) => stage.contender(spec));
  const serverCpu = await ServerCpu.of([stage.servers.primary, ...stage.servers.replicas]);
  const serverMicros = serverCpu === undefined ? undefined : () => serverCpu.micros();
  const standings = await compare(contenders, { work, callers }, options, signal, serverMicros);
  return { work, callers, replicas, standings };
}

async function routeDecision(rounds: number, signal: AbortSignal): Promise<Verdict> {
  await using stage = await Stage.start(1);
  signal.throwIfAborted();
  progress.begin('a cached route decision', rounds * 100);
  const verdict = routeVerdict(await routeDecisionMicros(stage.servers, rounds));
  progress.end();
  return verdict;
}

interface Findings {
  readonly options: BenchOptions;
  readonly machine: Machine;
  readonly results: readonly Result[];
  readonly verdicts: readonly Verdict[];
}

function write({ options, machine, results, verdicts }: Findings): void {
  const { rounds, roundMillis, jsonFile, svgFile } = options;
  const plan = { rounds, roundMillis };
  if (jsonFile !== undefined) writeFile(jsonFile, recordText({ machine, plan, bounds: verdicts, results }));
  if (svgFile !== undefined) writeFile(svgFile, chartOf({ machine, plan, results }));
  for (const file of [jsonFile, svgFile]) if (file !== undefined) progress.say(`wrote ${file}`);
}
