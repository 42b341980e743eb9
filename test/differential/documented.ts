/**
 * Where the library differs from pg and says so: each with its reason and the place in the docs.
 * The reference follows the first list; answers are held against the second, as narrowly as can be.
 * A difference that is not here is a fault.
 */

import { isDeepStrictEqual } from 'node:util';
import { type Failure, failedWith, type Outcome } from './outcome.js';
import type { Intent, Step } from './program.js';

/** Differences in how a pool's clients are kept: the reference does it the library's way. */
const CLOSED_IN_TRANSACTION: Readonly<
  Record<Intent, { readonly reason: string; readonly section: string } | undefined>
> = {
  auto: {
    reason: 'A client that is released inside a transaction is closed (pg hands it on as it is).',
    section: 'docs/guide/other-tools.md#how-it-differs-from-pg-pool',
  },
  read: {
    reason: 'A client that is released inside a transaction is closed (pg hands it on as it is).',
    section: 'docs/guide/other-tools.md#how-it-differs-from-pg-pool',
  },
  write: undefined,
};

export function hygieneOf(intent: Intent): boolean {
  return CLOSED_IN_TRANSACTION[intent] !== undefined;
}

type Run = Omit<Extract<Step, { readonly kind: 'run' }>, 'kind'>;

interface Difference {
  readonly name: string;
  readonly reason: string;
  readonly section: string;
  /** Whether that, and nothing else, is what differs. */
  matches(step: Step, bare: Outcome, ladder: Outcome): boolean;
}

const OWN_DOORS = new Set(['read', 'write', 'query']);

const DIFFERENCES: readonly Difference[] = [
  {
    name: 'unknown outcome',
    reason: 'A write whose connection is lost may have committed: the error says so, and has pg’s own as its cause.',
    section: 'docs/concepts/guarantees.md',
    matches: (step, bare, ladder) => {
      if (step.kind !== 'run' || !OWN_DOORS.has(step.way)) return false;
      const [expected, found] = [failedWith(bare), failedWith(ladder)];
      return found?.code === 'LADDER_WRITE_OUTCOME_UNKNOWN' && isLoss(expected) && isLoss(found['cause'] as Failure);
    },
  },
  {
    name: 'a transaction left open',
    reason: 'A text that does not end its transaction is rolled back, and rejects.',
    section: 'docs/concepts/guarantees.md',
    matches: (step, bare, ladder) =>
      step.kind === 'run' &&
      OWN_DOORS.has(step.way) &&
      failedWith(bare) === undefined &&
      failedWith(ladder)?.code === 'LADDER_TRANSACTION_LEFT_OPEN',
  },
  {
    name: 'a name in a message',
    reason: 'PostgreSQL says the name under which it was given a statement, where the values are too few or too many.',
    section: 'docs/concepts/lanes.md',
    matches: (_, bare, ladder) => {
      const [expected, found] = [bare, ladder].map(answerOf).map(failedWith);
      if (expected?.code !== '08P01' || found?.code !== '08P01') return false;
      return found.message.replace(/"pgladder_[0-9a-z_]+"/, '""') === expected.message;
    },
  },
  {
    name: 'the place in an SQL function',
    reason:
      'Whether `where` of an error names an SQL function goes by PostgreSQL’s plan: it puts a simple one into the statement.',
    section: 'docs/concepts/lanes.md',
    matches: (_, bare, ladder) => {
      const [expected, found] = [bare, ladder].map(answerOf).map(failedWith);
      if (expected === undefined || found === undefined) return false;
      const places = [expected['where'], found['where']].filter((where) => where !== undefined);
      const [place] = places;
      const isOfFunction = places.length === 1 && typeof place === 'string' && place.startsWith('SQL function "');
      return isOfFunction && isDeepStrictEqual({ ...expected, where: '' }, { ...found, where: '' });
    },
  },
  {
    name: 'no connection yet',
    reason: '`connect()` opens nothing until a statement needs the primary: there is nothing to end.',
    section: 'docs/guide/other-tools.md#how-it-differs-from-pg-pool',
    matches: (step, bare, ladder) =>
      step.kind === 'kill' && step.actor !== 'idle' && bare === 'killed' && ladder === 'nothing to kill',
  },
  {
    name: 'words of a standby',
    reason: 'BEGIN READ ONLY runs on a replica, which refuses some of what writes in other words.',
    section: 'docs/guide/other-tools.md#how-it-differs-from-pg-pool',
    matches: (step, bare, ladder) => {
      if (step.kind !== 'on') return false;
      const [expected, found] = [bare, ladder].map(answerOf).map(failedWith);
      const isRefused = expected?.code === '25006' && expected['routine'] === 'PreventCommandIfReadOnly';
      return isRefused && found?.code === '25006' && found['routine'] === 'PreventCommandDuringRecovery';
    },
  },
];

/** What a statement gave; a client's comes with how its connection stands after it. */
function answerOf(outcome: Outcome): Outcome {
  const { answer = outcome } = Object(outcome) as { answer?: Outcome };
  return answer;
}

function isLoss(failure: Failure | undefined): boolean {
  if (failure === undefined) return false;
  if (failure['severity'] === 'FATAL') return true;
  return failure.code === undefined && failure.message.startsWith('Connection terminated');
}

/**
 * The documented difference that explains why two answers are not the same; `undefined` when none
 * does. What was asked together is looked at one by one.
 */
export function documentedFor(step: Step, bare: Outcome, ladder: Outcome): string | undefined {
  if (statusOf(bare) !== statusOf(ladder)) return undefined;
  const one = DIFFERENCES.find((known) => known.matches(step, bare, ladder))?.name;
  if (one !== undefined || step.kind !== 'together') return one;
  const [expected, found] = [bare, ladder] as [Outcome[], Outcome[]];
  if (!Array.isArray(expected) || !Array.isArray(found) || expected.length !== found.length) return undefined;
  const differing = expected.flatMap((each, i) => (isDeepStrictEqual(each, found[i]) ? [] : [i]));
  const names = differing.map((i) => documentedFor({ kind: 'run', ...(step.runs[i] as Run) }, expected[i], found[i]));
  return names.includes(undefined) ? undefined : names[0];
}

function statusOf(outcome: Outcome): unknown {
  return (Object(outcome) as { status?: unknown }).status;
}
