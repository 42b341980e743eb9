/**
 * Our clock and our timers, taken when the library is loaded: a test that plays the time (`vi.useFakeTimers()`, Jest, Sinon) must not make a replica look fresh. It only tells
 * the time; what has become of what was dated by it is decided elsewhere.
 */
import { performance as nodes } from 'node:perf_hooks';
import * as timers from 'node:timers';

/** A clock that runs shows that it does within so long. */
const TRIAL_SECONDS = 20e-6;

/** Stands in the place of Node's: milliseconds, monotonic. Under systems that stop it while they sleep, a {@link wallMillis} that goes on tells. */
export const performance = Object.freeze({ now: runningClock() });

/** The time of day in epoch milliseconds; it may be set. */
export const wallMillis = Date.now.bind(Date);

export const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate } = timers;

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
