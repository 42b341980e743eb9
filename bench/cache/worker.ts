/**
 * The process of one holder: what it costs is its own, and async hooks that others need do not slow it down. It does as it is
 * told by its parent, one thing at a time.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Servers } from '../contenders/access.js';
import type { Heap, Sample } from '../contenders/contender.js';
import type { Answer } from '../contenders/worker.js';
import { type Holder, type HolderSpec, KEYS, openHolder } from './holders.js';

/** What is held. */
export interface HitTask {
  readonly rowCount: number;
  readonly callers: number;
}

type Request =
  | { readonly ask: 'load'; readonly spec: HolderSpec; readonly servers: Servers }
  | { readonly ask: 'open'; readonly task: HitTask }
  | { readonly ask: 'round'; readonly millis: number }
  | { readonly ask: 'close' };

const WARM_UP_MILLIS = 1_000;
/** So many hits between two looks at the clock. */
const BATCH = 20;
/** Timers and sockets have their turn as often. */
const TURN_MILLIS = 5;

let load: (task: HitTask) => Promise<Holder> = () => Promise.reject(new Error('nothing is loaded'));
let holder: Holder | undefined;
let task: HitTask = { rowCount: 1, callers: 1 };

process.on('message', (request: Request) => {
  answer(request).then(
    (value) => process.send?.({ value } satisfies Answer),
    (error: Error) => process.send?.({ error: error.message } satisfies Answer),
  );
});
process.on('disconnect', () => process.exit());
process.on('SIGINT', () => {});

async function answer(request: Request): Promise<unknown> {
  switch (request.ask) {
    case 'load':
      load = ({ rowCount }) => openHolder(request.spec, request.servers, rowCount);
      return undefined;
    case 'open':
      task = request.task;
      holder = await load(task);
      await round(holder, WARM_UP_MILLIS);
      return undefined;
    case 'round':
      if (holder === undefined) throw new Error('nothing is open');
      return round(holder, request.millis);
    case 'close':
      await holder?.close();
      holder = undefined;
      return { heldBytes: Number.NaN, grownBytes: Number.NaN } satisfies Heap;
  }
}

function round(open: Holder, millis: number): Promise<Sample> {
  const run = (): Promise<Sample> => hits(open, millis);
  return open.as === undefined ? run() : open.as(run);
}

async function hits(open: Holder, millis: number): Promise<Sample> {
  const missedBefore = open.misses?.() ?? {};
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const counts = await Promise.all(
    Array.from({ length: task.callers }, (_, caller) => live(open, caller, startedAt + millis)),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const count = counts.reduce((sum, one) => sum + one, 0);
  const missed = Object.entries(open.misses?.() ?? {}).flatMap(([reason, total]) => {
    const since = total - (missedBefore[reason] ?? 0);
    return since > 0 ? [`${reason} ${since}`] : [];
  });
  return {
    perSecond: count / seconds,
    cpuMicros: (user + system) / count,
    checkedCount: 0,
    staleCount: 0,
    errorCount: 0,
    firstError: missed.length === 0 ? undefined : `of ${count}: ${missed.join(', ')}`,
  };
}

async function live(open: Holder, caller: number, until: number): Promise<number> {
  let count = 0;
  // Callers that ask for the same at once would share one answer.
  let key = Math.floor((caller * KEYS) / task.callers);
  let turnAt = performance.now() + TURN_MILLIS;
  for (;;) {
    for (let i = 0; i < BATCH; i++) {
      if ((await open.hit(key)) !== task.rowCount) throw new Error('rows are missing');
      if (++key === KEYS) key = 0;
    }
    count += BATCH;
    const now = performance.now();
    if (now > until) return count;
    if (now < turnAt) continue;
    await turn();
    turnAt = performance.now() + TURN_MILLIS;
  }
}
