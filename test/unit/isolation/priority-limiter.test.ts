import { describe, expect, it } from 'vitest';
import { PriorityLimiter } from '../../../src/isolation/priority-limiter.js';

const never = new AbortController().signal;
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('the primary’s budget for reads', () => {
  it('gives as many turns as there are, and the next one when one comes back', async () => {
    const budget = new PriorityLimiter(() => 2);
    expect([budget.tryEnter(undefined), budget.tryEnter(undefined), budget.tryEnter(undefined)]).toEqual([
      true,
      true,
      false,
    ]);
    const third = budget.enter('normal', undefined, never);
    expect(budget.stats).toMatchObject({ limit: 2, inUse: 2, waiting: 1 });
    budget.leave(10, undefined);
    expect(await third).toBe(true);
    expect(budget.stats).toMatchObject({ inUse: 2, waiting: 0, admitted: 3, queued: 1 });
  });

  it('lets those of higher priority go first, and within one who came first', async () => {
    const budget = new PriorityLimiter(() => 1);
    budget.tryEnter(undefined);
    const order: string[] = [];
    for (const [name, priority] of [
      ['low', 'low'],
      ['a', 'normal'],
      ['b', 'normal'],
      ['high', 'high'],
    ] as const) {
      void budget.enter(priority, undefined, never).then(() => order.push(name));
    }
    for (let i = 0; i < 4; i++) {
      budget.leave(1, undefined);
      await settle();
    }
    expect(order).toEqual(['high', 'a', 'b', 'low']);
  });

  it('lets nobody who comes now overtake those who wait', () => {
    let limit = 1;
    const budget = new PriorityLimiter(() => limit);
    budget.tryEnter(undefined);
    void budget.enter('low', undefined, never);
    limit = 3;
    expect(budget.tryEnter(undefined)).toBe(false);
  });

  it('forgets who gives up, without losing a turn', async () => {
    const budget = new PriorityLimiter(() => 1);
    budget.tryEnter(undefined);
    const impatient = new AbortController();
    const waiting = budget.enter('high', undefined, impatient.signal);
    const patient = budget.enter('low', undefined, never);
    impatient.abort();
    expect(await waiting).toBe(false);
    expect(await budget.enter('high', undefined, impatient.signal)).toBe(false);
    budget.leave(1, undefined);
    expect(await patient).toBe(true);
    expect(budget.stats).toMatchObject({ inUse: 1, waiting: 0 });
  });

  it('gives nobody more than half of the turns, and callers that wait one turn after the other', async () => {
    const budget = new PriorityLimiter(() => 4);
    const [greedy, other] = [{}, {}];
    expect([1, 2, 3].map(() => budget.tryEnter(greedy))).toEqual([true, true, false]);
    const order: string[] = [];
    const wait = (name: string, caller: object | undefined): void =>
      void budget.enter('normal', caller, never).then(() => order.push(name));
    for (const name of ['g3', 'g4', 'g5']) wait(name, greedy);
    // Turns are free that the greedy one may not have.
    expect([budget.tryEnter(other), budget.tryEnter(undefined)]).toEqual([true, true]);
    for (const name of ['o2', 'o3']) wait(name, other);
    wait('nobody', undefined);
    await settle();
    expect(order).toEqual([]);
    for (const caller of [greedy, other, undefined]) {
      budget.leave(1, caller);
      await settle();
    }
    expect(order).toEqual(['g3', 'o2', 'nobody']);
    for (const caller of [greedy, other, greedy]) {
      budget.leave(1, caller);
      await settle();
    }
    expect(order).toEqual(['g3', 'o2', 'nobody', 'g4', 'o3', 'g5']);
    expect(budget.stats).toMatchObject({ inUse: 4, waiting: 0 });
  });

  it('lets so many wait and no more, one caller half of them, and those of low priority in nobody’s way', () => {
    const budget = new PriorityLimiter(() => 1, 4);
    budget.tryEnter(undefined);
    const greedy = 'token';
    const gone = new AbortController();
    void budget.enter('low', greedy, never);
    void budget.enter('normal', greedy, gone.signal);
    expect([budget.isFull('low', greedy), budget.isFull('high', greedy), budget.isFull('low', 'other')]).toEqual([
      true,
      true,
      false,
    ]);
    for (const caller of ['other', undefined]) void budget.enter('low', caller, never);
    expect([budget.isFull('low', undefined), budget.isFull('normal', undefined)]).toEqual([true, false]);
    gone.abort();
    expect([budget.isFull('low', undefined), budget.isFull('low', greedy)]).toEqual([false, false]);
  });

  it('estimates the wait from how long turns are held and how many wait', () => {
    const budget = new PriorityLimiter(() => 2);
    for (let i = 0; i < 50; i++) {
      budget.tryEnter(undefined);
      budget.leave(40, undefined);
    }
    expect(budget.estimateMillis).toBe(20);
    budget.tryEnter(undefined);
    budget.tryEnter(undefined);
    for (let i = 0; i < 5; i++) void budget.enter('normal', undefined, never);
    expect(budget.estimateMillis).toBe(120);
  });
});
