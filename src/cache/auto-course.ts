/**
 * Whether it pays to keep the answers of a statement, by the evidence, and what follows: when they
 * are kept and given without being asked for, and when no more. Pure.
 */
import { type Evidence, staleShareOf } from './auto-evidence.js';

/**
 * - `watching`: its reads are looked at, nothing of it is kept
 * - `shadow`: it seems to pay, and it is compared once more what a kept answer would have shown
 * - `serving`: its answers are kept, and given
 * - `stopped`: it paid once, or did not in its shadow; it is looked at again after a while
 */
export type CourseState = 'watching' | 'shadow' | 'serving' | 'stopped';

/**
 * - `pays`: its answers come again, and save time
 * - `changing`: an answer from earlier is too seldom what the server says
 * - `unrepeated`: too seldom is it asked for what was read within the bound on age, or its sessions may not see it
 * - `little`: it would save next to nothing
 * - `unknown`: too little was seen of it
 * - `anew`: its texts are written anew each time: send values as parameters
 * - `never`: its answers are never kept, or not without a scope or tables: `because` says why
 */
export type AdviceVerdict = 'pays' | 'changing' | 'unrepeated' | 'little' | 'unknown' | 'anew' | 'never';

export interface Assessment {
  readonly verdict: AdviceVerdict;
  readonly callsPerSecond: number;
  /** Reads, beside these, whose text had never come before. */
  readonly anewPerSecond: number;
  /** The share of its reads that a kept answer serves, or would. */
  readonly hitShare: number;
  readonly savedStatementsPerSecond: number;
  readonly savedMillisPerSecond: number;
  /** By how much its own 99th percentile falls. */
  readonly savedP99Millis: number;
}

export interface Course {
  readonly state: CourseState;
  /** Weighings in a row that went for the next state. */
  readonly steps: number;
  /** Weighings that it still rests. */
  readonly rest: number;
  /** How often it was stopped. */
  readonly stopCount: number;
}

export const FIRST_COURSE: Course = { state: 'watching', steps: 0, rest: 0, stopCount: 0 };

/** What it takes to begin, and what to go on: more to begin, so that nothing goes to and fro. */
interface Bar {
  /** Of reads whose keys come again, a kept answer serves at least so many. */
  readonly repeatShare: number;
  /** The least share of answers that are what the server says. */
  readonly agreement: number;
  /** Milliseconds of servers in a second: a thousandth of one connection. */
  readonly savedMillisPerSecond: number;
}

const TO_BEGIN: Bar = { repeatShare: 0.5, agreement: 0.95, savedMillisPerSecond: 1 };
const TO_GO_ON: Bar = { repeatShare: 0.3, agreement: 0.8, savedMillisPerSecond: 0.5 };

const FEWEST_SAMPLES = 10;
const FEWEST_COMPARED = 10;
/** So many answers that differ are no accident. */
const DIFFERING = 3;
const SHADOW_WEIGHINGS = 3;
const WEAK_WEIGHINGS = 2;
/** After so many weighings something of which little was seen is known to be little. */
const SEEN_LONG_ENOUGH = 3;
const REST_WEIGHINGS = 6;
const MOST_REST_WEIGHINGS = 360;
const P99 = 0.99;

/** @param periodMillis between weighings */
export function assess(evidence: Evidence, { state }: Course, periodMillis: number): Assessment {
  const { callCount, hitCount, millis, costMillis } = evidence;
  const seconds = Math.max(millis, periodMillis) / 1_000;
  const callsPerSecond = callCount / seconds;
  const hitShare = callCount === 0 ? 0 : Math.min(1, hitCount / callCount);
  const savedStatementsPerSecond = callsPerSecond * hitShare;
  const saved = {
    callsPerSecond,
    anewPerSecond: evidence.anewCount / seconds,
    hitShare,
    savedStatementsPerSecond,
    savedMillisPerSecond: savedStatementsPerSecond * costMillis,
    savedP99Millis: savedP99(evidence, hitShare),
  };
  const bar = state === 'serving' ? TO_GO_ON : TO_BEGIN;
  const verdict = verdictOn(evidence, saved, bar, state === 'serving', periodMillis);
  // What comes again among texts that are written anew is not hidden by them.
  const isAnew = verdict !== 'pays' && verdict !== 'changing' && evidence.anewCount > callCount;
  return { verdict: isAnew ? 'anew' : verdict, ...saved };
}

function verdictOn(
  evidence: Evidence,
  { callsPerSecond, savedMillisPerSecond }: Omit<Assessment, 'verdict'>,
  bar: Bar,
  isServing: boolean,
  periodMillis: number,
): AdviceVerdict {
  const { comparisons, sampleCount, costMillis, millis, hitCount, fillCount } = evidence;
  const isRepeated = hitCount > 0 && hitCount >= bar.repeatShare * (hitCount + fillCount);
  const isLittle = callsPerSecond * costMillis < bar.savedMillisPerSecond;
  if (isServing) {
    if (agreementOf(evidence) < bar.agreement) return 'changing';
    if (isLittle) return 'little';
    if (!isRepeated) return 'unrepeated';
    return savedMillisPerSecond < bar.savedMillisPerSecond ? 'little' : 'pays';
  }
  if (isLittle && millis > SEEN_LONG_ENOUGH * periodMillis) return 'little';
  if (comparisons.differedCount >= DIFFERING && comparisons.agreement < bar.agreement) return 'changing';
  if (sampleCount < FEWEST_SAMPLES) return 'unknown';
  if (!isRepeated) return 'unrepeated';
  if (savedMillisPerSecond < bar.savedMillisPerSecond) return 'little';
  if (comparisons.count < FEWEST_COMPARED) return 'unknown';
  return comparisons.agreement < bar.agreement ? 'changing' : 'pays';
}

/** Of answers that are given: what is read anew now and then tells how often they change. */
function agreementOf({ changes }: Evidence): number {
  const { perMilli, intervalMillis } = changes;
  return perMilli === undefined ? 1 : 1 - staleShareOf(perMilli, intervalMillis);
}

/** Of the reads that are left the slowest ones are a larger share: their percentile is another one. */
function savedP99({ costs }: Evidence, hitShare: number): number {
  const before = costs.percentile(P99) ?? 0;
  const missShare = 1 - hitShare;
  if (missShare <= 1 - P99) return before;
  const after = costs.percentile(1 - (1 - P99) / missShare) ?? 0;
  return Math.max(0, before - after);
}

/** What follows from one weighing. @param mayServe whether `auto` is on */
export function nextCourse(course: Course, { verdict }: Assessment, mayServe: boolean): Course {
  if (!mayServe) return FIRST_COURSE;
  const { state, steps, rest, stopCount } = course;
  const pays = verdict === 'pays';
  switch (state) {
    case 'watching':
      return pays ? { ...course, state: 'shadow', steps: 0 } : course;
    case 'shadow':
      // What was seen begins anew with the shadow.
      if (verdict === 'unknown') return course;
      if (!pays) return verdict === 'changing' ? stopped(stopCount) : { ...course, state: 'watching', steps: 0 };
      return steps + 1 < SHADOW_WEIGHINGS ? { ...course, steps: steps + 1 } : { ...course, state: 'serving', steps: 0 };
    case 'serving':
      if (pays) return steps === 0 ? course : { ...course, steps: 0 };
      return verdict !== 'changing' && steps + 1 < WEAK_WEIGHINGS
        ? { ...course, steps: steps + 1 }
        : stopped(stopCount);
    case 'stopped':
      return rest > 1 ? { ...course, rest: rest - 1 } : { ...course, state: 'watching', steps: 0, rest: 0 };
  }
}

/** Longer each time: what goes to and fro is left alone. */
function stopped(stopCount: number): Course {
  const rest = Math.min(MOST_REST_WEIGHINGS, REST_WEIGHINGS * 2 ** stopCount);
  return { state: 'stopped', steps: 0, rest, stopCount: stopCount + 1 };
}

/** Answers are read anew so early that at most so many are not the present one. */
const STALE_SHARE = 0.1;

/** At which age answers are read anew in the background, in milliseconds; ∞: only shortly before the bound. */
export function refreshAgeOf({ changes }: Evidence): number {
  const { perMilli } = changes;
  return perMilli === undefined || perMilli === 0 ? Number.POSITIVE_INFINITY : (2 * STALE_SHARE) / perMilli;
}
