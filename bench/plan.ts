/**
 * What is measured, with whom: of all combinations those that tell something new. At two replicas every bound of the library is covered, with the callers it
 * speaks of; the other counts of replicas are for those who know of replicas, since a bare pool uses one server whatever there is.
 */
import type { Spec } from './contenders/access.js';
import { Pgbench } from './contenders/pgbench.js';
import { type WorkName, workNames } from './works.js';

export interface Trial {
  readonly work: WorkName;
  readonly callers: number;
  readonly replicas: number;
  readonly lineUp: readonly Spec[];
}

export interface Scope {
  /** `undefined`: as the table below says. */
  readonly callers: readonly number[] | undefined;
  readonly replicas: readonly number[] | undefined;
  readonly only: RegExp;
  readonly withPeers: boolean;
  readonly withPgbench: boolean;
}

export const USUAL_REPLICAS = 2;

/** One caller shows latency, 16 a busy process, 64 a queue at every pool, 256 what a queue costs. Rows cost the same whoever waits for them. */
const USUAL_CALLERS: Readonly<Record<WorkName, readonly number[]>> = {
  point: [1, 16, 64, 256],
  checkout: [16],
  ten: [16],
  thousand: [16],
  mixed: [1, 16, 64],
  sessions: [1, 16, 64],
  beside: [16, 64],
  readback: [1, 16],
  write: [1, 16, 64],
  transaction: [16, 64],
};

/** How the number of replicas is looked at: one, and three, beside the usual two. */
const OTHER_REPLICAS = [1, 3];
const AT_OTHER_REPLICAS: readonly WorkName[] = ['point', 'mixed'];
const CALLERS_AT_OTHER_REPLICAS = [16];

/** With how many callers `cluster.pool()` is set beside the pool that it looks like. */
const POOLED_CALLERS = 16;

const BARE: Spec = { driver: 'pg.Pool', name: 'pg.Pool' };
const NODE_POSTGRES: readonly Spec[] = [BARE, { driver: 'pg.Pool', name: 'pg.Pool, named', named: true }];
const LADDER: Spec = { driver: 'pg-ladder', name: 'pg-ladder' };
const WITHOUT_LANE: Spec = { driver: 'pg-ladder', name: 'pg-ladder, no lane', lane: false };
const UNNAMED: Spec = { driver: 'pg-ladder', name: 'pg-ladder, unnamed', namedStatements: false };
const WITH_TOKENS: Spec = { driver: 'pg-ladder', name: 'pg-ladder, a token each', tokens: true };
const EVENTUAL: Spec = { driver: 'pg-ladder', name: 'eventual', sessions: 'eventual' };
const REQUESTS: Spec = { driver: 'pg-ladder', name: 'pg-ladder, sessions by token', sessions: 'none' };
const SESSIONS: Spec = { driver: 'pg-ladder', name: 'pg-ladder, sessions of the process', sessions: 'process' };
const POOLED: Spec = { driver: 'pg-ladder', name: 'pg-ladder, pool()', pooled: true };
const POOLED_WITHOUT_LANE: Spec = {
  driver: 'pg-ladder',
  name: 'pg-ladder, pool(), no lane',
  pooled: true,
  lane: false,
};
const BUILDERS: readonly Spec[] = [
  { driver: 'Drizzle', name: 'Drizzle withReplicas' },
  { driver: 'Kysely', name: 'kysely-replication' },
];
const PGBENCH: Spec = { driver: 'pgbench', name: 'pgbench', threads: 1 };
const PGBENCH_ON_TWO: Spec = { driver: 'pgbench', name: 'pgbench -j 2', threads: 2 };

export function trialsOf(scope: Scope): Trial[] {
  const replicaCounts = scope.replicas ?? [USUAL_REPLICAS, ...OTHER_REPLICAS];
  return replicaCounts.flatMap((replicas) => {
    const isUsual = replicas === USUAL_REPLICAS || scope.replicas !== undefined;
    const works = workNames.filter((work) => scope.only.test(work) && (isUsual || AT_OTHER_REPLICAS.includes(work)));
    return works.flatMap((work) => {
      const usual = isUsual ? USUAL_CALLERS[work] : CALLERS_AT_OTHER_REPLICAS;
      return (scope.callers ?? usual).map((callers) => {
        const lineUp = isUsual ? lineUpOf(work, callers, scope) : ofReplicas(scope);
        return { work, callers, replicas, lineUp };
      });
    });
  });
}

/** The first one is what the others are compared with. */
function lineUpOf(work: WorkName, callers: number, { withPeers, withPgbench }: Scope): Spec[] {
  if (work === 'checkout') return [BARE, POOLED, POOLED_WITHOUT_LANE];
  if (work === 'sessions') return [EVENTUAL, REQUESTS, SESSIONS];
  if (work === 'beside') return [EVENTUAL, SESSIONS];
  if (work === 'readback') return [BARE, LADDER, REQUESTS];
  const isWrite = work === 'write' || work === 'transaction';
  return [
    ...NODE_POSTGRES,
    LADDER,
    ...(isWrite ? [UNNAMED] : [WITHOUT_LANE]),
    ...(work === 'write' ? [WITH_TOKENS] : []),
    ...(callers === POOLED_CALLERS ? pooled(work) : []),
    ...(withPeers ? [...postgresJs(work, callers), ...BUILDERS] : []),
    ...(withPgbench && Pgbench.does(work) ? pgbench(work, callers) : []),
  ];
}

function ofReplicas({ withPeers }: Scope): Spec[] {
  return [BARE, LADDER, WITHOUT_LANE, ...(withPeers ? BUILDERS : [])];
}

/** What the look-alike costs shows where a bare pool is busy, one statement at a time; a lane is for reads alone. */
function pooled(work: WorkName): Spec[] {
  if (work === 'point') return [POOLED, POOLED_WITHOUT_LANE];
  return work === 'write' || work === 'transaction' ? [POOLED] : [];
}

/** All its settings once; elsewhere those that may be its best, which is what a bound speaks of. */
function postgresJs(work: WorkName, callers: number): Spec[] {
  const withUnprepared = work === 'point' && callers <= 16;
  const sizes = callers === 1 ? [1] : work === 'point' ? [1, 2, 4, 10] : work === 'ten' ? [1, 10] : [4, 10];
  return (withUnprepared ? [true, false] : [true]).flatMap((prepare) =>
    sizes.map((max) => ({
      driver: 'postgres.js' as const,
      name: `${POSTGRES_JS} max ${max}${prepare ? '' : ', unprepared'}`,
      max,
      prepare,
    })),
  );
}

/** It takes four times as long as the others, so that it is not asked everything. A caller alone has no use for two threads. */
function pgbench(work: WorkName, callers: number): Spec[] {
  if (work !== 'point') return callers === 16 ? [PGBENCH_ON_TWO] : [];
  return callers === 1 ? [PGBENCH] : [PGBENCH, PGBENCH_ON_TWO];
}

/** How all of its settings are called first. */
export const POSTGRES_JS = 'postgres.js';
