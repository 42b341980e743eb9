import { beforeEach, describe, expect, it, vi } from 'vitest';
import { type Heard, Listening, type News } from '../../../src/cache/redis-listening.js';

const time = vi.hoisted(() => ({ now: 0, wall: 0, tick: undefined as (() => void) | undefined }));

vi.mock('../../../src/clock.js', async (original) => ({
  ...(await original<object>()),
  performance: { now: () => time.now },
  wallMillis: () => time.wall,
  setInterval: (tick: () => void) => {
    time.tick = tick;
    return { unref: () => undefined };
  },
  clearInterval: () => {
    time.tick = undefined;
  },
}));

const settle = () => new Promise((resolve) => setImmediate(resolve));
const PRESENCE_MILLIS = 300;

/** A Redis with what was told, and one who listens to it. */
function played() {
  const log: string[] = [];
  const visits: Heard[] = [];
  const redis = {
    clock: 'one',
    number: 0,
    since: 5,
    kept: [] as { number: number; text: string }[],
    isGone: false,
    pageCount: 2,
    tell(text: string) {
      this.kept.push({ number: ++this.number, text });
    },
    async visit(heard: Heard): Promise<News> {
      visits.push(heard);
      if (this.isGone) throw new Error('gone');
      const from = heard.clock === this.clock ? heard.number : -1;
      const messages = this.kept
        .filter(({ number }) => number > from)
        .slice(0, this.pageCount)
        .map((one) => ({ ...one, at: { millis: one.number, clock: this.clock } }));
      const at = { millis: 1_000, clock: this.clock };
      return { time: at, number: this.number, completeSinceMillis: this.since, messages };
    },
  };
  const open = () =>
    new Listening(
      {
        heard: (message) => log.push(message),
        missed: ({ millis, clock }) => log.push(`missed until ${millis} of ${clock}`),
      },
      {
        presenceMillis: PRESENCE_MILLIS,
        everyMillis: 100,
        visit: (heard) => redis.visit(heard),
        leave: () => log.push('left'),
      },
    );
  return { redis, log, visits, open };
}

describe('one who listens on Redis', () => {
  beforeEach(() => {
    time.now = 10_000;
    time.wall = 50_000;
    time.tick = undefined;
  });

  it('hears what is kept, page by page, acknowledges the last of it, and is current then', async () => {
    const { redis, log, visits, open } = played();
    for (const text of ['a', 'b', 'c', 'd', 'e']) redis.tell(text);
    const listening = open();
    expect(listening.isCurrent()).toBe(false);
    await listening.ready;
    await settle();
    expect(log).toEqual(['missed until 5 of one', 'a', 'b', 'c', 'd', 'e']);
    expect(visits.map(({ number }) => number)).toEqual([-1, 2, 4, 5]);
    expect(listening.isCurrent()).toBe(true);
  });

  it('hears a message once, however often it comes', async () => {
    const { redis, log, open } = played();
    const listening = open();
    await listening.ready;
    redis.tell('a');
    for (let i = 0; i < 3; i++) listening.come();
    await settle();
    listening.come();
    await settle();
    expect(log).toEqual(['missed until 5 of one', 'a']);
  });

  it('takes for missed what is not kept any more, before it hears the rest', async () => {
    const { redis, log, open } = played();
    await open().ready;
    for (const text of ['a', 'b', 'c']) redis.tell(text);
    redis.kept = redis.kept.slice(2);
    time.tick?.();
    await settle();
    expect(log.slice(1)).toEqual(['missed until 1000 of one', 'c']);
    redis.tell('d');
    redis.kept = [];
    time.tick?.();
    await settle();
    expect(log.slice(3)).toEqual(['missed until 1000 of one']);
  });

  it('takes all for missed when Redis has another clock, and hears again what is kept', async () => {
    const { redis, log, open } = played();
    redis.tell('a');
    const listening = open();
    await listening.ready;
    redis.clock = 'two';
    redis.number = 1;
    time.tick?.();
    await settle();
    expect(log.slice(2)).toEqual(['missed until 1000 of two', 'a']);
  });

  it('is current for as long as it is present, from before it came, by either clock', async () => {
    const { redis, open } = played();
    const listening = open();
    await listening.ready;
    redis.isGone = true;
    expect(listening.isCurrent(time.now + PRESENCE_MILLIS - 1)).toBe(true);
    expect(listening.isCurrent(time.now + PRESENCE_MILLIS)).toBe(false);
    time.wall += PRESENCE_MILLIS;
    expect(listening.isCurrent()).toBe(false);
    redis.isGone = false;
    time.tick?.();
    await settle();
    expect(listening.isCurrent()).toBe(true);
  });

  it('is not current before it has heard what it has missed while it was away', async () => {
    const { redis, log, open } = played();
    const listening = open();
    await listening.ready;
    time.now += PRESENCE_MILLIS;
    redis.tell('a');
    redis.pageCount = 0;
    redis.isGone = true;
    time.tick?.();
    await settle();
    expect(listening.isCurrent()).toBe(false);
    redis.isGone = false;
    redis.pageCount = 1;
    time.tick?.();
    await settle();
    expect(log.at(-1)).toBe('a');
    expect(listening.isCurrent()).toBe(true);
  });

  it('does not acknowledge what its listener failed to hear', async () => {
    const { redis, visits } = played();
    redis.tell('a');
    let failures = 2;
    const heard = () => {
      if (failures-- > 0) throw new Error('busy');
    };
    const options = { presenceMillis: PRESENCE_MILLIS, everyMillis: 100, leave: () => undefined };
    const listening = new Listening(
      { heard, missed: () => undefined },
      { ...options, visit: (one) => redis.visit(one) },
    );
    await settle();
    time.tick?.();
    await settle();
    expect(listening.isCurrent()).toBe(false);
    expect(visits.every(({ number }) => number < 1)).toBe(true);
    time.tick?.();
    await listening.ready;
    await settle();
    expect(visits.at(-1)?.number).toBe(1);
  });

  it('has no timer, and is not current, after it was closed', async () => {
    const { log, open } = played();
    const listening = open();
    await listening.ready;
    expect(time.tick).toBeDefined();
    listening.close();
    listening.close();
    expect(time.tick).toBeUndefined();
    expect(listening.isCurrent()).toBe(false);
    expect(log.filter((entry) => entry === 'left')).toHaveLength(1);
  });
});
