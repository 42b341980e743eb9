import { beforeEach, describe, expect, it, vi } from 'vitest';
import { CallBudget } from '../../../src/cache/budget.js';

const time = vi.hoisted(() => ({
  now: 0,
  timers: [] as { at: number; fire: () => void }[],
  unrefCount: 0,
  async pass(millis: number): Promise<void> {
    time.now += millis;
    const due = time.timers.filter(({ at }) => at <= time.now);
    time.timers = time.timers.filter(({ at }) => at > time.now);
    for (const { fire } of due) fire();
    await new Promise((resolve) => setImmediate(resolve));
  },
}));

vi.mock('../../../src/clock.js', () => ({
  performance: { now: () => time.now },
  setTimeout: (fire: () => void, millis: number) => {
    time.timers.push({ at: time.now + millis, fire });
    return { unref: () => time.unrefCount++ };
  },
  setImmediate: (fire: () => void) => fire(),
}));

const never = () => new Promise<never>(() => undefined);
const failing = () => Promise.reject(new Error('gone'));
const good = () => Promise.resolve('good');

/** Has lost its server: it is open, and its first trial is due in 100 ms. */
async function opened(): Promise<CallBudget> {
  const budget = new CallBudget();
  for (let i = 0; i < 5; i++) await budget.run(failing);
  expect(budget.stats.state).toBe('open');
  return budget;
}

describe('the budget of calls', () => {
  beforeEach(() => {
    time.now = 1_000;
    time.timers = [];
    time.unrefCount = 0;
  });

  it('hands on what a call answers in time', async () => {
    const budget = new CallBudget();
    expect(await budget.run(good)).toBe('good');
    expect(budget.stats).toEqual({ state: 'closed', callCount: 1, lateCount: 0, failedCount: 0, refusedCount: 0 });
  });

  it('waits for no call longer than its time, and hears nothing of it later', async () => {
    const budget = new CallBudget({ budgetMillis: 5 });
    let answer: ((value: string) => void) | undefined;
    const call = budget.run(() => new Promise<string>((resolve) => (answer = resolve)));
    await time.pass(4.9);
    expect(budget.stats.lateCount).toBe(0);
    await time.pass(0.1);
    expect(await call).toBeUndefined();
    answer?.('late');
    await time.pass(1);
    expect(budget.stats).toMatchObject({ callCount: 1, lateCount: 1, failedCount: 0 });
  });

  it.each([
    ['rejects', failing],
    [
      'throws',
      () => {
        throw new Error('at once');
      },
    ],
  ])('gives nothing where a call %s', async (_how, call: () => Promise<string>) => {
    const budget = new CallBudget();
    expect(await budget.run(call)).toBeUndefined();
    expect(budget.stats).toMatchObject({ callCount: 1, failedCount: 1, lateCount: 0 });
  });

  it('has one timer for all calls, which lets the process end, and none once all are over', async () => {
    const budget = new CallBudget({ budgetMillis: 5 });
    const ended: number[] = [];
    for (let i = 0; i < 4; i++) {
      void budget.run(never).then(() => ended.push(time.now));
      await time.pass(1);
      expect(time.timers).toHaveLength(1);
    }
    for (let i = 0; i < 5; i++) await time.pass(1);
    expect(ended).toEqual([1_005, 1_006, 1_007, 1_008]);
    expect(time.timers).toHaveLength(0);
    expect(time.unrefCount).toBeLessThanOrEqual(4);
    await budget.run(good);
    await time.pass(5);
    expect(time.timers).toHaveLength(0);
  });

  it('makes no calls after five in a row that went wrong', async () => {
    const budget = await opened();
    const call = vi.fn(good);
    expect(await budget.run(call)).toBeUndefined();
    expect(call).not.toHaveBeenCalled();
    expect(budget.stats).toMatchObject({ callCount: 5, failedCount: 5, refusedCount: 1 });
  });

  it('makes no calls when half of the latest were late, however they are mixed', async () => {
    const budget = new CallBudget({ budgetMillis: 5 });
    for (let i = 0; i < 200 && budget.stats.state === 'closed'; i++) {
      for (const call of [never, never, good]) {
        const asked = budget.run<unknown>(call);
        await time.pass(6);
        await asked;
      }
    }
    expect(budget.stats.state).toBe('open');
  });

  it('goes on while few calls go wrong', async () => {
    const budget = new CallBudget();
    for (let i = 0; i < 300; i++) await budget.run<unknown>(i % 4 === 0 ? failing : good);
    expect(budget.stats).toMatchObject({ state: 'closed', callCount: 300, failedCount: 75 });
  });

  it('lets a single call through after a pause, and all when that one is answered', async () => {
    const budget = await opened();
    await time.pass(99);
    expect(await budget.run(good)).toBeUndefined();
    await time.pass(1);
    let answer: ((value: string) => void) | undefined;
    const trial = budget.run(() => new Promise<string>((resolve) => (answer = resolve)));
    expect(budget.stats.state).toBe('trial');
    expect(await budget.run(good)).toBeUndefined();
    answer?.('good');
    expect(await trial).toBe('good');
    expect(budget.stats.state).toBe('closed');
    expect(await budget.run(good)).toBe('good');
  });

  it('doubles the pause with each trial that goes wrong, up to a bound', async () => {
    const budget = await opened();
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      let pause = 0;
      const before = budget.stats.callCount;
      while (budget.stats.callCount === before) {
        await time.pass(100);
        pause += 100;
        await budget.run(failing);
      }
      pauses.push(pause);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  });

  it('counts a trial that is late as one that went wrong', async () => {
    const budget = await opened();
    await time.pass(100);
    const trial = budget.run(never);
    await time.pass(5);
    expect(await trial).toBeUndefined();
    expect(budget.stats).toMatchObject({ state: 'open', lateCount: 1 });
  });

  it('is not closed by answers to calls from before it opened', async () => {
    const budget = new CallBudget({ budgetMillis: 500 });
    let answer: ((value: string) => void) | undefined;
    const early = budget.run(() => new Promise<string>((resolve) => (answer = resolve)));
    for (let i = 0; i < 5; i++) await budget.run(failing);
    answer?.('good');
    expect(await early).toBe('good');
    expect(budget.stats.state).toBe('open');
  });

  it('starts with a short pause again only after many good calls', async () => {
    const budget = await opened();
    for (const goodCount of [1, 31, 32]) {
      await time.pass(5_000);
      for (let i = 0; i <= goodCount; i++) await budget.run(good);
      for (let i = 0; i < 5; i++) await budget.run(failing);
      expect(budget.stats.state).toBe('open');
      await time.pass(100);
      const before = budget.stats.callCount;
      await budget.run(failing);
      expect(budget.stats.callCount - before).toBe(goodCount === 32 ? 1 : 0);
    }
  });

  it('bounds the answers that are outstanding, those that were given up included', async () => {
    const budget = new CallBudget({ maxUnanswered: 3, budgetMillis: 5 });
    const answers: ((value: string) => void)[] = [];
    const slow = () => new Promise<string>((resolve) => answers.push(resolve));
    const calls = [budget.run(slow), budget.run(slow), budget.run(slow)];
    await time.pass(5);
    expect(await Promise.all(calls)).toEqual([undefined, undefined, undefined]);
    expect(await budget.run(good)).toBeUndefined();
    answers[0]?.('late');
    await time.pass(0);
    expect(await budget.run(good)).toBe('good');
    expect(budget.stats).toMatchObject({ callCount: 4, refusedCount: 1 });
  });
});
