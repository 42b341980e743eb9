import { describe, expect, it } from 'vitest';
import { FallbackBudget } from '../../../src/isolation/fallback-budget.js';

const never = new AbortController().signal;
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('the primary’s budget for reads', () => {
  it('gives as many turns as there are, and the next one when one comes back', async () => {
    const budget = new FallbackBudget(() => 2);
    expect([budget.tryEnter(), budget.tryEnter(), budget.tryEnter()]).toEqual([true, true, false]);
    const third = budget.enter('normal', never);
    expect(budget.stats).toMatchObject({ limit: 2, inUse: 2, waiting: 1 });
    budget.leave(10);
    expect(await third).toBe(true);
    expect(budget.stats).toMatchObject({ inUse: 2, waiting: 0, admitted: 3, queued: 1 });
  });

  it('lets those of higher priority go first, and within one who came first', async () => {
    const budget = new FallbackBudget(() => 1);
    budget.tryEnter();
    const order: string[] = [];
    for (const [name, priority] of [
      ['low', 'low'],
      ['a', 'normal'],
      ['b', 'normal'],
      ['high', 'high'],
    ] as const) {
      void budget.enter(priority, never).then(() => order.push(name));
    }
    for (let i = 0; i < 4; i++) {
      budget.leave(1);
      await settle();
    }
    expect(order).toEqual(['high', 'a', 'b', 'low']);
  });

  it('lets nobody who comes now overtake those who wait', () => {
    let limit = 1;
    const budget = new FallbackBudget(() => limit);
    budget.tryEnter();
    void budget.enter('low', never);
    limit = 3;
    expect(budget.tryEnter()).toBe(false);
  });

  it('forgets who gives up, without losing a turn', async () => {
    const budget = new FallbackBudget(() => 1);
    budget.tryEnter();
    const impatient = new AbortController();
    const waiting = budget.enter('high', impatient.signal);
    const patient = budget.enter('low', never);
    impatient.abort();
    expect(await waiting).toBe(false);
    expect(await budget.enter('high', impatient.signal)).toBe(false);
    budget.leave(1);
    expect(await patient).toBe(true);
    expect(budget.stats).toMatchObject({ inUse: 1, waiting: 0 });
  });

  it('estimates the wait from how long turns are held and how many wait', () => {
    const budget = new FallbackBudget(() => 2);
    for (let i = 0; i < 50; i++) {
      budget.tryEnter();
      budget.leave(40);
    }
    expect(budget.estimateMillis).toBe(20);
    budget.tryEnter();
    budget.tryEnter();
    for (let i = 0; i < 5; i++) void budget.enter('normal', never);
    expect(budget.estimateMillis).toBe(120);
  });
});
