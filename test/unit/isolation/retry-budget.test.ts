import { describe, expect, it } from 'vitest';
import { performance } from '../../../src/clock.js';
import type { WarningEvent } from '../../../src/index.js';
import { RetryBudget } from '../../../src/isolation/retry-budget.js';
import { Publisher } from '../../../src/publisher.js';

const SECOND = 1_000;
const WINDOW = 10 * SECOND;

function budget(settings: { share?: number; perSecond?: number } = {}) {
  const publisher = new Publisher('shop');
  const retries = new RetryBudget({ share: 0.2, perSecond: 10, ...settings }, publisher);
  const startedAt = performance.now();
  /** @param at in milliseconds from the start */
  const ask = (count: number, at = 0, inFlight = 1): void => {
    for (let i = 0; i < count; i++) retries.sent(true, startedAt + at, inFlight);
  };
  /** How many of so many are given. */
  const draw = (count: number, isLoss: boolean, at = 0): number =>
    Array.from({ length: count }, () => retries.draw(isLoss, startedAt + at)).filter(Boolean).length;
  return { publisher, retries, ask, draw };
}

describe('the retry budget', () => {
  it('holds ten seconds of its floor without any traffic', () => {
    expect(budget().draw(500, false)).toBe(100);
    expect(budget({ perSecond: 3 }).draw(500, false)).toBe(30);
    expect(budget({ perSecond: 0 }).draw(500, false)).toBe(0);
  });

  it('grows by its share of what is asked in ten seconds, and not by what is sent again', () => {
    const { ask, draw, retries } = budget();
    ask(1_000);
    for (let i = 0; i < 1_000; i++) retries.sent(false, performance.now(), 1);
    expect(draw(5_000, false)).toBe(300);
  });

  it('has forgotten after ten seconds what was asked, and what was drawn', () => {
    const { ask, draw } = budget();
    ask(1_000);
    expect(draw(5_000, false)).toBe(300);
    expect(draw(5_000, false, WINDOW - 2 * SECOND)).toBe(0);
    expect(draw(5_000, false, WINDOW + SECOND)).toBe(100);
    expect(draw(5_000, false, 100 * WINDOW)).toBe(100);
  });

  it('gives in no ten seconds more than its share of them and its floor', () => {
    const { ask, draw } = budget();
    const given: number[] = [];
    for (let second = 0; second < 60; second++) {
      const isStorm = second >= 20 && second < 40;
      ask(500, second * SECOND);
      given.push(isStorm ? draw(500, false, second * SECOND) : 0);
    }
    for (let from = 0; from + 10 <= given.length; from++) {
      const sum = given.slice(from, from + 10).reduce((a, b) => a + b, 0);
      expect(sum).toBeLessThanOrEqual(0.2 * 5_000 + 100);
    }
    expect(Math.max(...given)).toBeGreaterThan(0);
  });

  it('has room for all that one server had under way, also where it is empty otherwise', () => {
    const { ask, draw } = budget({ share: 0, perSecond: 2 });
    ask(128, 0, 128);
    expect(draw(500, false)).toBe(20);
    expect(draw(500, true)).toBe(128);
    expect(draw(500, true)).toBe(0);
  });

  it('counts what had to be sent again in any case', () => {
    const { draw, retries } = budget();
    for (let i = 0; i < 60; i++) retries.spend();
    expect(draw(500, false)).toBe(40);
    expect(retries.stats.drawnCount).toBe(100);
  });

  it('says that it is empty: in its numbers, and once in a warning until it has given again', () => {
    const { publisher, retries, draw } = budget({ share: 0, perSecond: 1 });
    const told: WarningEvent[] = [];
    publisher.emitter.on('warning', (warning) => told.push(warning));
    expect(retries.stats).toEqual({ left: 10, drawnCount: 0, refusedCount: 0, retryBudgetEmpty: false });
    draw(15, false);
    expect(retries.stats).toEqual({ left: 0, drawnCount: 10, refusedCount: 5, retryBudgetEmpty: true });
    expect(told).toMatchObject([{ code: 'retry-budget-empty', cluster: 'shop' }]);
    draw(1, false, 2 * WINDOW);
    expect(retries.stats.retryBudgetEmpty).toBe(false);
    draw(30, false, 2 * WINDOW);
    expect(told).toHaveLength(2);
  });
});
