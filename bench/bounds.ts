/**
 * What the library promises of its speed, as ratios within one run. A bound is missed only when the whole interval lies on the wrong
 * side of it: a figure that may be right is no proof that it is wrong.
 */
import { POSTGRES_JS, USUAL_REPLICAS } from './plan.js';
import { type Interval, intervalOfMedian, median, ratioOf, type Standing } from './rounds.js';
import type { WorkName } from './works.js';

export interface Result {
  readonly work: WorkName;
  readonly callers: number;
  readonly replicas: number;
  readonly standings: readonly Standing[];
}

export interface Verdict {
  readonly what: string;
  readonly bound: string;
  readonly found: number;
  readonly interval: Interval | undefined;
  readonly isMet: boolean;
}

interface Bound {
  readonly work: WorkName;
  readonly callers: readonly number[];
  readonly of: string;
  /** A contender's name; one with several settings counts by its best. */
  readonly over: string;
  readonly least: number;
}

const BOUNDS: readonly Bound[] = [
  { work: 'point', callers: [1], of: 'pg-ladder', over: 'pg.Pool', least: 1.5 },
  { work: 'point', callers: [16, 64], of: 'pg-ladder', over: 'pg.Pool', least: 3 },
  { work: 'point', callers: [16, 64], of: 'pg-ladder', over: POSTGRES_JS, least: 1.3 },
  // One thread against one thread.
  { work: 'point', callers: [16], of: 'pg-ladder', over: 'pgbench', least: 0.75 },
  // Its look-alike has the lane to win with; without one, and where it hands out clients, it must cost little.
  { work: 'point', callers: [16], of: 'pg-ladder, pool()', over: 'pg.Pool', least: 2 },
  { work: 'point', callers: [16], of: 'pg-ladder, pool(), no lane', over: 'pg.Pool', least: 0.9 },
  { work: 'checkout', callers: [16], of: 'pg-ladder, pool()', over: 'pg.Pool', least: 0.85 },
  { work: 'mixed', callers: [16, 64], of: 'pg-ladder', over: 'pg.Pool', least: 2.5 },
  // What freshness costs, beside reads that ask for none.
  { work: 'sessions', callers: [16, 64], of: 'pg-ladder, sessions by token', over: 'eventual', least: 0.92 },
  { work: 'sessions', callers: [16], of: 'pg-ladder, sessions of the process', over: 'eventual', least: 0.82 },
  { work: 'sessions', callers: [64], of: 'pg-ladder, sessions of the process', over: 'eventual', least: 0.85 },
  { work: 'beside', callers: [16], of: 'pg-ladder, sessions of the process', over: 'eventual', least: 0.75 },
  { work: 'beside', callers: [64], of: 'pg-ladder, sessions of the process', over: 'eventual', least: 0.85 },
  { work: 'write', callers: [1], of: 'pg-ladder, a token each', over: 'pg.Pool', least: 0.92 },
  { work: 'write', callers: [16], of: 'pg-ladder, a token each', over: 'pg.Pool', least: 0.82 },
  { work: 'write', callers: [64], of: 'pg-ladder, a token each', over: 'pg.Pool', least: 0.85 },
  { work: 'write', callers: [16, 64], of: 'pg-ladder, unnamed', over: 'pg.Pool', least: 0.9 },
  { work: 'write', callers: [16, 64], of: 'pg-ladder', over: 'pg.Pool', least: 1.2 },
  { work: 'transaction', callers: [16, 64], of: 'pg-ladder', over: 'pg.Pool', least: 0.9 },
];

export const MOST_ROUTE_MICROS = 2;

export function verdictsOf(results: readonly Result[]): Verdict[] {
  return [...results.flatMap(speedVerdicts), ...soundness(results)];
}

export function routeVerdict(micros: readonly number[]): Verdict {
  const interval = intervalOfMedian(micros);
  const what = 'route: a cached decision, a floor and three replicas, µs';
  const isMet = interval[0] <= MOST_ROUTE_MICROS;
  return { what, bound: `at most ${MOST_ROUTE_MICROS}`, found: median(micros), interval, isMet };
}

function speedVerdicts({ work, callers, replicas, standings }: Result): Verdict[] {
  if (replicas !== USUAL_REPLICAS) return [];
  return BOUNDS.flatMap((bound) => {
    if (bound.work !== work || !bound.callers.includes(callers)) return [];
    const own = standings.find(({ name }) => name === bound.of);
    const other = best(standings, bound.over);
    if (own === undefined || other === undefined) return [];
    const { ratio, interval } = ratioOf(own.speeds, other.speeds);
    const what = `${work}, ${callersOf(callers)}: ${own.name} over ${other.name}`;
    // Not a number: one of the two has failed.
    return [{ what, bound: `at least ${bound.least}`, found: ratio, interval, isMet: interval[1] >= bound.least }];
  });
}

export function atLeast(what: string, least: number, found: number, interval?: Interval): Verdict {
  return { what, bound: `at least ${least}`, found, interval, isMet: (interval?.[1] ?? found) >= least };
}

export function atMost(what: string, most: number, found: number, interval?: Interval): Verdict {
  return { what, bound: `at most ${most}`, found, interval, isMet: (interval?.[0] ?? found) <= most };
}

/** The library is never stale, with whatever settings, and nothing of it ever fails. */
export function soundness(results: readonly Result[]): Verdict[] {
  const own = results.flatMap(({ standings }) => standings).filter(({ name }) => name.startsWith('pg-ladder'));
  if (own.length === 0) return [];
  const sum = (count: (standing: Standing) => number) => own.reduce((total, standing) => total + count(standing), 0);
  const found = sum(({ staleCount, errorCount }) => staleCount + errorCount);
  const checked = sum(({ checkedCount }) => checkedCount);
  const what =
    checked === 0
      ? 'errors of pg-ladder'
      : `stale reads and errors of pg-ladder, of ${checked} reads right after a write`;
  return [{ what, bound: 'none', found, interval: undefined, isMet: found === 0 }];
}

function best(standings: readonly Standing[], name: string): Standing | undefined {
  return standings
    .filter((standing) => standing.name === name || (name === POSTGRES_JS && standing.name.startsWith(`${name} `)))
    .sort((a, b) => (b.perSecond || 0) - (a.perSecond || 0))[0];
}

export function callersOf(count: number): string {
  return `${count} caller${count === 1 ? '' : 's'}`;
}
