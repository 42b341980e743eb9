/**
 * The process that a contender runs in, alone: what it costs in CPU and memory is its own, and neither another one's garbage nor its async hooks
 * slow it down. Does as it is told over the channel to its parent, one thing at a time, and ends with it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { operationOf, type WorkName } from '../works.js';
import type { Access, Servers, Spec } from './access.js';
import type { Heap, Sample, Task } from './contender.js';

/** Each is answered by one `Answer`. */
export type Request =
  | { readonly ask: 'load'; readonly spec: Spec; readonly servers: Servers }
  | { readonly ask: 'open'; readonly task: Task }
  | { readonly ask: 'round'; readonly millis: number }
  | { readonly ask: 'close' };

export type Answer = { readonly value: unknown } | { readonly error: string };

/** Until all connections are open and have been used. */
const CONNECT_MILLIS = 100;
/** V8 needs about a second to compile what is hot, and most of that again after a full collection, which throws code away. */
const FIRST_WARM_UP_MILLIS = 1_200;
const WARM_UP_MILLIS = 800;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let connect: (task: Task) => Promise<Access> = () => Promise.reject(new Error('nothing is loaded'));
const compiled = new Set<WorkName>();
let task: Task = { work: 'point', callers: 1 };
let access: Access | undefined;
let heldBytes = 0;
let openBytes = 0;

process.on('message', (request: Request) => {
  answer(request).then(
    (value) => process.send?.({ value } satisfies Answer),
    (error: Error) => process.send?.({ error: error.message } satisfies Answer),
  );
});
process.on('disconnect', () => process.exit());
// Ctrl-C goes to the whole foreground group: when to stop is the parent's to say.
process.on('SIGINT', () => {});

async function answer(request: Request): Promise<unknown> {
  switch (request.ask) {
    case 'load':
      connect = await driver(request.spec, request.servers);
      return undefined;
    case 'open':
      return open(request.task);
    case 'round':
      return round(request.millis);
    case 'close':
      return close();
  }
}

async function driver(spec: Spec, servers: Servers): Promise<(task: Task) => Promise<Access>> {
  switch (spec.driver) {
    case 'pg-ladder': {
      const contender = await import('./ladder.js');
      return ({ work }) => contender.open(servers, spec, work);
    }
    case 'pg.Pool': {
      const contender = await import('./node-postgres.js');
      return ({ work }) => contender.open(servers, spec, work);
    }
    case 'postgres.js': {
      const contender = await import('./postgres-js.js');
      return ({ work }) => contender.open(servers, spec, work);
    }
    case 'Drizzle': {
      const contender = await import('./drizzle.js');
      return ({ work }) => contender.open(servers, spec, work);
    }
    case 'Kysely': {
      const contender = await import('./kysely.js');
      return ({ work }) => contender.open(servers, spec, work);
    }
    case 'pgbench':
      throw new Error('pgbench is a process of its own');
  }
}

async function open(next: Task): Promise<void> {
  task = next;
  // Once for nothing: else the code that is loaded by the first use would count as what a connection takes.
  if (compiled.size === 0) await (await connected()).close();
  const bareBytes = await usedBytes();
  access = await connected();
  openBytes = await usedBytes();
  heldBytes = openBytes - bareBytes;
  await round(compiled.has(task.work) ? WARM_UP_MILLIS : FIRST_WARM_UP_MILLIS);
  compiled.add(task.work);
}

async function connected(): Promise<Access> {
  access = await connect(task);
  await round(CONNECT_MILLIS);
  return access;
}

async function close(): Promise<Heap> {
  const grownBytes = (await usedBytes()) - openBytes;
  await access?.close();
  access = undefined;
  return { heldBytes, grownBytes };
}

async function round(millis: number): Promise<Sample> {
  const open = access;
  if (open === undefined) throw new Error('nothing is open');
  const operation = operationOf(task.work, open);
  let count = 0;
  let checkedCount = 0;
  let staleCount = 0;
  let errorCount = 0;
  let firstError: string | undefined;
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const until = startedAt + millis;

  const live = async (caller: number): Promise<void> => {
    while (performance.now() < until) {
      try {
        const isShown = await operation(caller);
        count++;
        if (isShown === undefined) continue;
        checkedCount++;
        if (!isShown) staleCount++;
      } catch (error) {
        errorCount++;
        firstError ??= error instanceof Error ? error.message : String(error);
      }
    }
  };
  await Promise.all(
    Array.from({ length: task.callers }, (_, caller) => open.as?.(caller, () => live(caller)) ?? live(caller)),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const cpuMicros = (user + system) / Math.max(1, count);
  return { perSecond: count / seconds, cpuMicros, checkedCount, staleCount, errorCount, firstError };
}

/** What a closed connection leaves behind goes with the next turns of the event loop, and what finalizers free with the next collection. */
async function usedBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await sleep(10);
    collectGarbage();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
