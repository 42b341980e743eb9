/**
 * Plays a program in both worlds, step by step, and compares all that can be told from outside:
 * what came back or was thrown, what state a held client is in, whether everything settles, whether
 * the process would have ended, whether connections come back, and what is stored in the end.
 */
import { isDeepStrictEqual } from 'node:util';
import type { PoolClient } from 'pg';
import { until } from '../behaviour/fixture.js';
import { BareWorld, Expected } from './bare-world.js';
import { documentedFor } from './documented.js';
import { LadderWorld } from './ladder-world.js';
import { failedWith, failureOf, Oids, type Outcome, outcomeOf } from './outcome.js';
import type { ProcessWatch } from './process-watch.js';
import { type Inner, type Program, type Statement, type Step, statementCountOf } from './program.js';
import type { Backstage, Pair } from './servers.js';
import { ask, type HeldClient, type Within, type World } from './world.js';

export interface Difference {
  /** The step's, of the program's; behind the last when it showed at the end. */
  readonly at: number;
  readonly what: string;
  readonly bare: Outcome;
  readonly ladder: Outcome;
}

export interface Verdict {
  readonly difference: Difference | undefined;
  readonly statementCount: number;
  /** Differences that the docs tell of, by name. */
  readonly documented: Readonly<Record<string, number>>;
}

/** A promise that has not settled by then never will, also on a machine that stood still for a while. */
const PATIENCE_MILLIS = 60_000;
/** What a fault that ended the process leaves unsettled is not waited for. */
const GRACE_MILLIS = 100;
/** As long as a change by others may go unnoticed, and some more. */
const SETTLE_MILLIS = 2_500;
/** What is over in a moment, unless connections are missing. */
const CLOSING_MILLIS = 400;
const UNSETTLED = { failed: { class: 'none', name: 'unsettled', code: undefined, message: 'it never settled' } };

interface Side {
  readonly world: World;
  readonly backstage: Backstage;
  readonly oids: Oids;
  readonly clients: Map<number, HeldClient>;
  readonly heard: Map<number, string[]>;
}

export async function play(pair: Pair, watch: ProcessWatch, program: Program): Promise<Verdict> {
  const { setup, steps } = program;
  const documented: Record<string, number> = {};
  let statementCount = 0;
  await Promise.all([pair.bare.reset(true), pair.ladder.reset(true)]);
  const bare = sideOf(new BareWorld(pair.bare.primary, setup), pair.bare);
  const ladderWorld = await LadderWorld.open(pair.ladder.primary, pair.ladder.replica, setup);
  const ladder = sideOf(ladderWorld, pair.ladder);
  const uncaught: unknown[] = [];
  const givingUp = new Set<() => void>();
  const stop = watch.watch((error) => {
    uncaught.push(error);
    for (const giveUp of givingUp) setTimeout(giveUp, GRACE_MILLIS);
  });
  const settled = (running: Promise<Outcome>): Promise<Outcome> =>
    new Promise((resolve) => {
      const giveUp = (): void => resolve(UNSETTLED);
      const timer = setTimeout(giveUp, PATIENCE_MILLIS);
      givingUp.add(giveUp);
      void running.then((outcome) => {
        clearTimeout(timer);
        givingUp.delete(giveUp);
        resolve(outcome);
      });
    });
  const compared = async (at: number, step: Step, how: (side: Side) => Promise<Outcome>) => {
    const both: [Outcome, Outcome] = await Promise.all([
      settled(outcomeFrom(bare, how)),
      settled(outcomeFrom(ladder, how)),
    ]);
    if (step.kind === 'on' && setup.driver !== 'without status') {
      // An error is told before the state that it leaves: that comes with the next message.
      const states = () =>
        [bare, ladder].map(({ clients }) => clients.get(step.actor)?.getTransactionStatus?.() ?? null);
      await until('they are in the same state', () => states()[0] === states()[1], 500).catch(() => undefined);
      both.forEach((answer, i) => {
        both[i] = { answer, status: states()[i] };
      });
    }
    if (uncaught.length > 0) {
      return { at, what: 'the process would have ended', bare: both[0], ladder: uncaught.map(failureOf) };
    }
    if (isDeepStrictEqual(both[0], both[1])) return undefined;
    const known = documentedFor(step, both[0], both[1]);
    if (known !== undefined) {
      documented[known] = (documented[known] ?? 0) + 1;
      return undefined;
    }
    return { at, what: 'the answers differ', bare: both[0], ladder: both[1] };
  };
  const through = async (): Promise<Difference | undefined> => {
    for (const [at, step] of steps.entries()) {
      statementCount += statementCountOf(step);
      if (step.kind === 'settle' && !setup.namedStatements) continue;
      const t0 = performance.now();
      const difference = await compared(at, step, (side) => perform(side, step));
      if (process.env['SLOW'] && performance.now() - t0 > 30)
        console.log('SLOW', (performance.now() - t0).toFixed(0), JSON.stringify(step).slice(0, 150));
      if (difference !== undefined) return difference;
    }
    return atTheEnd(steps.length, compared);
  };
  try {
    const difference = setup.isInSession
      ? await ladderWorld.cluster.session(through, { inherit: 'none' })
      : await through();
    return { difference, statementCount, documented };
  } finally {
    for (const { clients } of [bare, ladder]) for (const client of clients.values()) client.release(true);
    const closing = Promise.all([bare.world.close(), ladder.world.close()]);
    closing.catch(() => undefined);
    // What never comes back is not waited for.
    await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, CLOSING_MILLIS))]);
    await Promise.all([pair.bare.evict(), pair.ladder.evict()]);
    stop();
  }
}

async function atTheEnd(
  at: number,
  compared: (at: number, step: Step, how: (side: Side) => Promise<Outcome>) => Promise<Difference | undefined>,
): Promise<Difference | undefined> {
  const nothing: Step = { kind: 'settle' };
  const told = (difference: Difference | undefined, what: string) => difference && { ...difference, what };
  return (
    told(await compared(at, nothing, cameBack), 'not all connections have come back') ??
    told(await compared(at, nothing, ({ backstage }) => openTransactions(backstage)), 'transactions are left open') ??
    told(await compared(at, nothing, ({ backstage }) => backstage.content()), 'the data differ')
  );
}

/** What is released comes back in a moment; what never does is told of. */
async function cameBack({ world, clients }: Side): Promise<Outcome> {
  for (const client of clients.values()) client.release();
  clients.clear();
  await until('all is back', () => world.away().length === 0, 3_000).catch(() => undefined);
  return world.away();
}

/** Those of connections that are being closed are over in a moment. */
async function openTransactions(backstage: Backstage): Promise<Outcome> {
  let count = await backstage.openTransactionCount();
  for (let i = 0; i < 40 && count > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    count = await backstage.openTransactionCount();
  }
  return count;
}

function sideOf(world: World, backstage: Backstage): Side {
  return { world, backstage, oids: new Oids(), clients: new Map(), heard: new Map() };
}

async function outcomeFrom(side: Side, how: (side: Side) => Promise<Outcome>): Promise<Outcome> {
  try {
    return await how(side);
  } catch (error) {
    return error instanceof Expected ? { failed: error.failure } : failureOf(error);
  }
}

async function perform(side: Side, step: Step): Promise<Outcome> {
  const { world, backstage, oids, clients, heard } = side;
  switch (step.kind) {
    case 'reset':
      return backstage.reset(step.isWhole);
    case 'run':
      return outcomeOf(await ask(world.door(step.way), step.statement), oids);
    case 'together':
      return together(side, step.runs);
    case 'take': {
      const client = (await world.pool(step.intent).connect()) as HeldClient;
      clients.set(step.actor, client);
      const messages: string[] = [];
      heard.set(step.actor, messages);
      client.on('notification', ({ channel, payload }) => messages.push(`${channel}: ${payload}`));
      client.on('error', () => undefined);
      return 'taken';
    }
    case 'on': {
      const client = clients.get(step.actor);
      if (client === undefined) return 'no client';
      const answer = await outcomeFrom(side, async () => outcomeOf(await ask(client as never, step.statement), oids));
      // The connection ends a moment after it was told so.
      if (failedWith(answer)?.['severity'] === 'FATAL')
        await until('it ended', () => client._queryable === false, 3_000);
      return answer;
    }
    case 'release': {
      const client = clients.get(step.actor);
      clients.delete(step.actor);
      client?.removeAllListeners('notification');
      client?.release(step.isBroken);
      return 'released';
    }
    case 'hear': {
      const messages = heard.get(step.actor) ?? [];
      await until('it heard', () => messages.length >= step.count, 1_000).catch(() => undefined);
      // More may have come by then, or not.
      return messages.splice(0, step.count);
    }
    case 'transaction':
      return transaction(side, step);
    case 'foreign':
      return outcomeOf(await backstage.query(step.text), oids);
    case 'share':
      return world.share(step.statement);
    case 'settle':
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MILLIS));
      return 'settled';
    case 'kill':
      return kill(side, step.actor);
  }
}

/** Each for itself; numbers of tables are met in the order of the list, whatever comes first. */
async function together(side: Side, runs: readonly { way: Parameters<World['door']>[0]; statement: Statement }[]) {
  const answers = await Promise.allSettled(runs.map(({ way, statement }) => ask(side.world.door(way), statement)));
  return answers.map((answer) =>
    answer.status === 'fulfilled' ? outcomeOf(answer.value, side.oids) : failureOf(answer.reason),
  );
}

async function transaction(side: Side, step: Extract<Step, { kind: 'transaction' }>): Promise<Outcome> {
  const answers: Outcome[] = [];
  const end = await outcomeFrom(side, () =>
    side.world.transaction(step.options, async (within) => {
      await body(side, within, step.body, answers);
      if (step.ending === 'throw') throw new Error('thrown within');
      return 'returned';
    }),
  );
  return { answers, end };
}

async function body(side: Side, within: Within, inners: readonly Inner[], answers: Outcome[]): Promise<void> {
  for (const inner of inners) {
    try {
      if (inner.kind === 'inner') {
        const to = inner.by === 'client' ? within.client : within.by(inner.by);
        answers.push(outcomeOf(await ask(to, inner.statement), side.oids));
      } else {
        await within.nested(async (nested) => {
          await body(side, nested, inner.body, answers);
          if (inner.ending === 'throw') throw new Error('thrown within');
        });
      }
    } catch (error) {
      answers.push(error instanceof Expected ? { failed: error.failure } : failureOf(error));
      if (!inner.isCaught) throw error;
    }
  }
}

async function kill({ backstage, clients }: Side, actor: number | 'idle'): Promise<Outcome> {
  if (actor === 'idle') {
    await backstage.killIdle();
    // Their ends had reached this process before it was told that they are gone: it only has to
    // look.
    await new Promise((resolve) => setTimeout(resolve, 10));
    return 'killed';
  }
  const client = clients.get(actor);
  const { processID = null } = client ?? {};
  if (client === undefined || processID === null) return 'nothing to kill';
  const ended = new Promise<void>((resolve) => void (client as PoolClient).once('end', resolve));
  await backstage.kill(processID);
  await ended;
  return 'killed';
}
