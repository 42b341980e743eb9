/**
 * Holds a shared store to what is asked of one, by using it as several processes would. It needs no
 * test runner, and leaves nothing behind but keys that expire. What happens to a store whose server
 * fails, it cannot play.
 */
import { randomUUID } from 'node:crypto';
import { performance, setTimeout } from '../clock.js';
import type { SharedOrder, SharedStore } from '../shared-store.js';

const LIFETIME_MILLIS = 60_000;
/** What expires is looked for so long. */
const PATIENCE_MILLIS = 5_000;
const TELL_MILLIS = 10_000;
/** Clocks are adjusted while they run. */
const ADJUSTED = 0.99;

/** Two users of one store, as in two processes, and a key of its own. */
interface Pair {
  readonly one: SharedStore;
  readonly other: SharedStore;
  readonly key: string;
}

/** Each with what it holds a store to, in words that an error can begin with. */
const CHECKS: readonly [promise: string, check: (pair: Pair) => Promise<void>][] = [
  ['a key that nobody has set has nothing', async ({ one, key }) => same(await one.get(key), undefined)],
  [
    'a text is read back as it was written, by others too',
    async ({ one, other, key }) => {
      const texts = ['text', '["a", 1]', 'ä€🎈\u0000\n', ' ', '0', 'x'.repeat(1_000_000)];
      for (const [lsn, text] of texts.entries()) {
        await one.set(key, text, { timeline: 1, lsn: BigInt(lsn) }, LIFETIME_MILLIS);
        for (const store of [one, other]) same((await store.get(key))?.value, text);
      }
    },
  ],
  [
    'keys are told apart by each letter',
    async ({ one, other, key }) => {
      const keys = ['', '{', '}', '{}', '%7B', '%', ' ', 'a', 'A', 'ä', '{a}b', '{a}c', '\n'].map((end) => key + end);
      for (const each of keys) await one.set(each, `of ${each}`, { timeline: 1, lsn: 1n }, LIFETIME_MILLIS);
      const found = await Promise.all(keys.map(async (each) => other.get(each)));
      for (const [at, each] of keys.entries()) same(found[at]?.value, `of ${each}`);
    },
  ],
  [
    'of two texts the one of the higher order stays, whichever comes first',
    async ({ one, other, key }) => {
      for (const [at, [lower, higher]] of ORDERS.entries()) {
        for (const orders of [
          [lower, higher],
          [higher, lower],
        ]) {
          const here = `${key} ${at} ${orders[0] === lower}`;
          for (const order of orders) await one.set(here, nameOf(order), order, LIFETIME_MILLIS);
          same((await other.get(here))?.value, nameOf(higher));
        }
      }
    },
  ],
  [
    'of many texts at once the one of the highest order stays, and none goes back on the way',
    async ({ one, other, key }) => {
      const seen: number[] = [];
      let isOver = false;
      const watching = (async () => {
        while (!isOver) seen.push(Number((await other.get(key))?.value ?? -1));
      })();
      const sets = Array.from({ length: 300 }, async (_, at) => {
        const place = (at * 77) % 300;
        await (at % 2 === 0 ? one : other).set(
          key,
          String(place),
          { timeline: 1, lsn: BigInt(place) },
          LIFETIME_MILLIS,
        );
      });
      await Promise.all(sets).finally(() => {
        isOver = true;
      });
      await watching;
      same((await one.get(key))?.value, '299');
      same(
        seen.some((place, at) => place < (seen[at - 1] ?? -1)),
        false,
      );
    },
  ],
  [
    'a text is gone when its lifetime is over',
    async ({ one, other, key }) => {
      await one.set(key, 'short', { timeline: 1, lsn: 9n }, 30.5);
      await until(async () => (await other.get(key)) === undefined, 'it is still there');
      await one.set(key, 'lower', { timeline: 1, lsn: 1n }, LIFETIME_MILLIS);
      same((await other.get(key))?.value, 'lower');
    },
  ],
  [
    'all keys have one clock, which goes as ours does; reads are not told too early a time, leases not too late a one',
    async ({ one, other, key }) => {
      await one.set(key, 'text', { timeline: 1, lsn: 1n }, LIFETIME_MILLIS);
      const { time: before } = await one.lease(`${key} before`, LIFETIME_MILLIS);
      const startedAt = performance.now();
      await pause(50);
      const passed = (performance.now() - startedAt) * ADJUSTED;
      const read = await other.get(key);
      const { time: after } = await other.lease(`${key} after`, LIFETIME_MILLIS);
      same(read?.time.clock, before.clock);
      same(after.clock, before.clock);
      same(before.clock.length > 0 && before.clock.length <= 64, true);
      same((read?.time.millis ?? 0) - before.millis >= passed, true);
      same(after.millis <= (read?.time.millis ?? 0) + (performance.now() - startedAt), true);
    },
  ],
  [
    'a lease is granted to one only, until something is set, or it is released, or over',
    async ({ one, other, key }) => {
      const granted = await Promise.all(
        [one, other, one, other].map(async (store) => store.lease(key, LIFETIME_MILLIS)),
      );
      same(granted.filter(({ isGranted }) => isGranted).length, 1);
      const [owner, stranger] = granted[0]?.isGranted || granted[2]?.isGranted ? [one, other] : [other, one];
      await stranger.release(key);
      same((await stranger.lease(key, LIFETIME_MILLIS)).isGranted, false);
      await owner.release(key);
      same((await stranger.lease(key, LIFETIME_MILLIS)).isGranted, true);
      await stranger.set(key, 'filled', { timeline: 1, lsn: 1n }, LIFETIME_MILLIS);
      same((await owner.lease(key, 30)).isGranted, true);
      await until(async () => (await stranger.lease(key, LIFETIME_MILLIS)).isGranted, 'it is not granted');
      same((await owner.get(key))?.value, 'filled');
    },
  ],
  [
    'a message is heard by all that listen before it is told, and by those that start later, in order',
    async ({ one, other, key }) => {
      if (one.channel === undefined || other.channel === undefined) return;
      const [early, own, late] = [new Ear(key), new Ear(key), new Ear(key)];
      const subscriptions = [other.channel.listen(early), one.channel.listen(own)];
      try {
        await Promise.all(subscriptions.map(async ({ ready }) => ready));
        // A slow machine may have been away since.
        for (const subscription of subscriptions) await until(() => subscription.isCurrent(), 'it is not current');
        await one.channel.tell(`${key} 1`, LIFETIME_MILLIS, TELL_MILLIS);
        same(early.heardTexts, [`${key} 1`]);
        same(own.heardTexts, [`${key} 1`]);
        await other.channel.tell(`${key} 2`, LIFETIME_MILLIS, TELL_MILLIS);
        const started = other.channel.listen(late);
        subscriptions.push(started);
        await started.ready;
        for (const ear of [early, own, late]) same(ear.heardTexts, [`${key} 1`, `${key} 2`]);
        const { time } = await one.lease(key, LIFETIME_MILLIS);
        for (const at of late.times) same(at.clock === time.clock && at.millis <= time.millis + 1_000, true);
        for (const subscription of subscriptions) subscription.close();
        for (const subscription of subscriptions) same(subscription.isCurrent(), false);
        await one.channel.tell(`${key} 3`, LIFETIME_MILLIS, TELL_MILLIS);
        for (const ear of [early, own, late]) same(ear.heardTexts, [`${key} 1`, `${key} 2`]);
      } finally {
        for (const subscription of subscriptions) subscription.close();
      }
    },
  ],
];

const HIGHEST = 2n ** 64n - 1n;
const ORDERS: readonly (readonly [lower: SharedOrder, higher: SharedOrder])[] = [
  [
    { timeline: 1, lsn: 9n },
    { timeline: 1, lsn: 10n },
  ],
  [
    { timeline: 1, lsn: 0xffff_ffffn },
    { timeline: 1, lsn: 1n << 32n },
  ],
  [
    { timeline: 1, lsn: (1n << 63n) + 1n },
    { timeline: 1, lsn: (1n << 63n) + 2n },
  ],
  [
    { timeline: 1, lsn: HIGHEST - 1n },
    { timeline: 1, lsn: HIGHEST },
  ],
  [
    { timeline: 1, lsn: HIGHEST },
    { timeline: 2, lsn: 0n },
  ],
  [
    { timeline: 9, lsn: 1n },
    { timeline: 10, lsn: 0n },
  ],
  [
    { timeline: 2 ** 32 - 2, lsn: HIGHEST },
    { timeline: 2 ** 32 - 1, lsn: 0n },
  ],
];

/** Hears what this run has told. */
class Ear {
  readonly heardTexts: string[] = [];
  readonly times: { readonly millis: number; readonly clock: string }[] = [];
  readonly #begin: string;

  constructor(begin: string) {
    this.#begin = begin;
  }

  heard(text: string, at: { readonly millis: number; readonly clock: string }): void {
    if (!text.startsWith(this.#begin)) return;
    this.heardTexts.push(text);
    this.times.push(at);
  }

  missed(): void {
    // What a run has told, it has heard, or finds missing.
  }
}

/**
 * Checks that a shared store does what pg-ladder asks of one. For tests of a store of your own:
 * `await checkSharedStore(() => myStore(client))`.
 * @param makeStore is called twice for each promise: as if by two processes, on the same server.
 * Each store is closed at the end
 * @throws (rejects) Error that says which promise was broken, and how
 */
export async function checkSharedStore(makeStore: () => SharedStore | Promise<SharedStore>): Promise<void> {
  for (const [promise, check] of CHECKS) {
    const one = await makeStore();
    const other = await makeStore();
    try {
      await check({ one, other, key: `check ${randomUUID()}` });
    } catch (cause) {
      throw new Error(`shared store: ${promise}: ${String(Object(cause).message ?? cause)}`, { cause });
    } finally {
      await Promise.all([one.close(), other.close()]);
    }
  }
}

function nameOf({ timeline, lsn }: SharedOrder): string {
  return `${timeline}/${lsn}`;
}

function same(found: unknown, expected: unknown): void {
  const [is, shall] = [found, expected].map((value) => JSON.stringify(value)?.slice(0, 200) ?? 'nothing');
  if (is !== shall) throw new Error(`expected ${shall}, found ${is}`);
}

async function until(condition: () => boolean | Promise<boolean>, otherwise: string): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MILLIS;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error(`${otherwise}, after ${PATIENCE_MILLIS} ms`);
    await pause(5);
  }
}

function pause(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis);
  });
}
