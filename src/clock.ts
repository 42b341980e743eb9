/**
 * Our clock and our timers, taken when the library is loaded: a test that plays the time (`vi.useFakeTimers()`, Jest, Sinon) must not make a replica look fresh, nor keep an answer
 * waiting. Where the time was played before that, what it took the place of is looked for. Timers fire in no async context: what a call awaits of one goes on in its own. It only
 * tells the time; what has become of what was dated by it is decided elsewhere.
 */
import { performance as nodes } from 'node:perf_hooks';
import * as timers from 'node:timers';
import { runInNewContext } from 'node:vm';
import { inNoContext } from './async-context.js';

/** A clock that runs shows that it does within so long. */
const TRIAL_SECONDS = 20e-6;

/** Called without anything; what resolves a promise takes a value. */
type Callback = (value: undefined) => void;

/** Stands in the place of Node's: milliseconds, monotonic. Under systems that stop it while they sleep, a {@link wallMillis} that goes on tells. */
export const performance = Object.freeze({ now: runningClock() });

/** The time of day in epoch milliseconds; it may be set. */
export const wallMillis = runningDate();

export const setTimeout = withoutContext<[callback: Callback, millis?: number], NodeJS.Timeout>(
  original('setTimeout', timers.setTimeout),
);
export const clearTimeout = original('clearTimeout', timers.clearTimeout);
export const setInterval = withoutContext<[callback: Callback, millis?: number], NodeJS.Timeout>(
  original('setInterval', timers.setInterval),
);
export const clearInterval = original('clearInterval', timers.clearInterval);
export const setImmediate = withoutContext<[callback: Callback], NodeJS.Immediate>(
  original('setImmediate', timers.setImmediate),
);

/** Node's own, which those who play the time leave alone: they put another object into its global place. Where somebody replaced its method, a second one. */
function runningClock(): () => number {
  const now = nodes.now.bind(nodes);
  const uptime = process.uptime.bind(process);
  const before = now();
  const startedAt = uptime();
  while (uptime() - startedAt < TRIAL_SECONDS);
  const isRunning = (now() - before) / 1_000 >= TRIAL_SECONDS / 2;
  return isRunning ? now : () => uptime() * 1_000;
}

/** The engine's own; where somebody has put another function into its place, that of a second realm. */
function runningDate(): () => number {
  const isOwn = Function.prototype.toString.call(Date.now).includes('[native code]');
  return isOwn ? Date.now.bind(Date) : (runInNewContext('Date.now') as () => number);
}

/** What `@sinonjs/fake-timers`, which vitest, Jest and Sinon share, leaves of the time on each function that it puts into a place. */
interface Played {
  readonly clock?: Record<string, unknown> & {
    readonly timersModuleMethods?: readonly { readonly methodName: string; readonly original: unknown }[];
  };
}

/** Node's own timer: they replace it in Node's module, too, which `require` and a bundle in CommonJS see. */
function original<T>(name: string, timer: T): T {
  let found: unknown = timer;
  // One clock may have been installed over another.
  for (let depth = 0; depth < 10; depth++) {
    const { clock } = found as Played;
    const kept = clock?.timersModuleMethods?.find(({ methodName }) => methodName === name);
    const before = kept?.original ?? clock?.[`_${name}`];
    if (typeof before !== 'function' || before === found) break;
    found = before;
  }
  return found as T;
}

/** A timer whose callbacks run in no async context, also when a call sets it. */
function withoutContext<A extends unknown[], R>(timer: (...args: A) => R): (...args: A) => R {
  return (...args) => inNoContext(timer, ...args);
}
