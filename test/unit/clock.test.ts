import * as timers from 'node:timers';
import { afterEach, describe, expect, it, vi } from 'vitest';

describe('the clock and the timers of the library, when the time was played before it was loaded', () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.doUnmock('node:timers');
    vi.resetModules();
  });

  it('are the true ones, also where the library was loaded by require', async () => {
    vi.useFakeTimers({ now: 0 });
    // As fake-timers leaves Node's module to `require`: its own functions stand there, too.
    const { setTimeout: faked, clearTimeout: c, setInterval: i, clearInterval: ci, setImmediate: im } = globalThis;
    expect(faked).not.toBe(timers.setTimeout);
    const played = { setTimeout: faked, clearTimeout: c, setInterval: i, clearInterval: ci, setImmediate: im };
    vi.doMock('node:timers', () => ({ ...timers, ...played }));
    vi.resetModules();
    const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, wallMillis, performance } =
      await import('../../src/clock.js');
    expect({ clearTimeout, clearInterval }).toEqual({
      clearTimeout: timers.clearTimeout,
      clearInterval: timers.clearInterval,
    });
    expect(Date.now()).toBe(0);
    expect(wallMillis()).toBeGreaterThan(1e12);
    const before = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(performance.now() - before).toBeGreaterThan(10);
    await new Promise(setImmediate);
    await new Promise<void>((resolve) => {
      const ticking = setInterval(() => {
        clearInterval(ticking);
        resolve();
      }, 1);
    });
  });
});
