/** What an answer from memory costs, beside what it stands on and its peers, and an answer from Redis beside a bare `GET`. */

import { atLeast, atMost, callersOf, type Verdict } from '../bounds.js';
import type { Servers } from '../contenders/access.js';
import { Child } from '../contenders/child.js';
import type { Interval, Pace, Standing } from '../rounds.js';
import { compare, intervalOfMedian, median, ratioOf } from '../rounds.js';
import type { HolderSpec } from './holders.js';
import type { HitTask } from './worker.js';

export interface HitResult {
  readonly work: 'cache-hit' | 'cache-redis';
  readonly rows: number;
  readonly callers: number;
  readonly standings: readonly Standing[];
}

interface Place {
  readonly servers: Servers;
  readonly redisPort: number | undefined;
  readonly node: string | undefined;
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

const LADDER = 'pg-ladder';
const ROW_COUNTS = [1, 10, 100];
/** Microseconds of the process's own time, for one row. On a shared machine others take of the time that passes. */
const MOST_MICROS = 3;
const LEAST_PER_SECOND = 300_000;
const LEAST_OF_GET = 0.8;

function inMemory(redisPort: number | undefined, withPeers: boolean): HolderSpec[] {
  const own: HolderSpec[] = [
    { holder: 'lru-cache', name: 'lru-cache.get, and a promise' },
    { holder: 'pg-ladder', name: LADDER },
    { holder: 'pg-ladder', name: `${LADDER}, query()`, asQuery: true },
    { holder: 'pg-ladder', name: `${LADDER}, in a session`, inSession: true },
  ];
  if (!withPeers) return own;
  return [
    ...own,
    { holder: 'bentocache', name: 'bentocache, memory' },
    { holder: 'bentocache', name: 'bentocache, memory, shared rows', shares: true },
    ...(redisPort === undefined
      ? []
      : [{ holder: 'bentocache', name: 'bentocache, tiered', redisPort } satisfies HolderSpec]),
    { holder: 'cache-manager', name: 'cache-manager' },
  ];
}

export async function memoryHits(place: Place, withPeers: boolean): Promise<HitResult[]> {
  const found: HitResult[] = [];
  for (const rows of ROW_COUNTS) {
    const standings = await standingsOf(inMemory(place.redisPort, withPeers), { rowCount: rows, callers: 1 }, place);
    found.push({ work: 'cache-hit', rows, callers: 1, standings });
  }
  return found;
}

export async function redisHits(place: Place & { readonly redisPort: number }): Promise<HitResult[]> {
  const { redisPort } = place;
  const lineUp: HolderSpec[] = [
    { holder: 'GET', name: 'GET, and JSON.parse', redisPort },
    { holder: 'GET', name: 'GET, and JSON.parse, rows alone', redisPort, isBare: true },
    { holder: 'pg-ladder', name: `${LADDER}, from Redis`, redisPort },
    { holder: 'pg-ladder', name: `${LADDER}, from Redis, in a session`, redisPort, inSession: true },
  ];
  const found: HitResult[] = [];
  for (const callers of [1, 16]) {
    const standings = await standingsOf(lineUp, { rowCount: 1, callers }, place);
    found.push({ work: 'cache-redis', rows: 1, callers, standings });
  }
  return found;
}

async function standingsOf(
  lineUp: readonly HolderSpec[],
  task: HitTask,
  { servers, node, pace, signal }: Place,
): Promise<Standing[]> {
  const worker = new URL('./worker.ts', import.meta.url);
  const contenders = lineUp.map((spec) => new Child<HolderSpec, HitTask>(spec, servers, node, worker));
  try {
    return await compare<HitTask>(contenders, task, pace, signal);
  } finally {
    for (const contender of contenders) contender.stop();
  }
}

export function verdictsOfHits(results: readonly HitResult[]): Verdict[] {
  return results.flatMap(({ work, rows, callers, standings }): Verdict[] => {
    const own = standings.find(({ name }) => name.startsWith(LADDER));
    const base = standings[0];
    if (own === undefined || base === undefined || own.speeds.length === 0) return [];
    if (work === 'cache-redis') {
      const { ratio, interval } = ratioOf(own.speeds, base.speeds);
      return [atLeast(`a hit in Redis, ${callersOf(callers)}: over ${base.name}`, LEAST_OF_GET, ratio, interval)];
    }
    if (rows !== 1) return [];
    return [
      atMost('a hit of one row, µs of the process’s time', MOST_MICROS, own.cpuMicros ?? Number.NaN),
      atLeast('hits of one row in a second of it', LEAST_PER_SECOND, 1e6 / (own.cpuMicros ?? Number.NaN)),
    ];
  });
}

/** Of a hit, in microseconds: as the clock on the wall has it. */
export function microsOf({ speeds }: Standing): { readonly micros: number; readonly interval: Interval } {
  const micros = speeds.map((perSecond) => 1e6 / perSecond);
  return { micros: median(micros), interval: intervalOfMedian(micros) };
}
