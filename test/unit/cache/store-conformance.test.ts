import { describe, expect, it } from 'vitest';
import { checkSharedStore } from '../../../src/cache/store-conformance.js';
import type { SharedListener, SharedOrder, SharedStore } from '../../../src/shared-store.js';

interface Kept {
  readonly value: string;
  readonly order: SharedOrder;
  readonly endsAt: number;
}

/** A store within this process, for as many users as like. */
class World {
  readonly values = new Map<string, Kept>();
  readonly leases = new Map<string, { readonly owner: object; readonly endsAt: number }>();
  readonly messages: string[] = [];
  readonly listeners = new Set<SharedListener>();

  user(): SharedStore {
    const owner = {};
    const time = () => ({ millis: performance.now(), clock: 'ours' });
    const alive = <T extends { endsAt: number }>(one: T | undefined) =>
      one !== undefined && one.endsAt > performance.now() ? one : undefined;
    const listen = (listener: SharedListener) => {
      for (const message of this.messages) listener.heard(message, time());
      this.listeners.add(listener);
      return {
        ready: Promise.resolve(),
        isCurrent: () => this.listeners.has(listener),
        close: () => void this.listeners.delete(listener),
      };
    };
    return {
      get: async (key) => {
        const kept = alive(this.values.get(key));
        return kept && { value: kept.value, time: time() };
      },
      set: async (key, value, order, lifetimeMillis) => {
        const before = alive(this.values.get(key))?.order;
        this.leases.delete(key);
        const isLower =
          before !== undefined &&
          (order.timeline < before.timeline || (order.timeline === before.timeline && order.lsn < before.lsn));
        if (!isLower) this.values.set(key, { value, order, endsAt: performance.now() + lifetimeMillis });
      },
      lease: async (key, lifetimeMillis) => {
        const isGranted = alive(this.leases.get(key)) === undefined;
        if (isGranted) this.leases.set(key, { owner, endsAt: performance.now() + lifetimeMillis });
        return { isGranted, time: time() };
      },
      release: async (key) => {
        if (this.leases.get(key)?.owner === owner) this.leases.delete(key);
      },
      size: async () => this.values.size,
      channel: {
        tell: async (message) => {
          this.messages.push(message);
          for (const listener of this.listeners) listener.heard(message, time());
        },
        listen,
      },
      close: async () => undefined,
    };
  }
}

type Fault = (right: SharedStore, world: World) => Partial<SharedStore>;

const faults: [what: string, promise: RegExp, fault: Fault][] = [
  [
    'gives empty texts for nothing',
    /nobody has set/,
    (right) => ({ get: async (key) => (await right.get(key)) ?? { value: '', time: { millis: 0, clock: 'ours' } } }),
  ],
  [
    'keeps no letters beyond ASCII',
    /read back as it was written/,
    (right) => ({
      set: async (key, value, ...rest) => right.set(key, Buffer.from(value, 'ascii').toString('ascii'), ...rest),
    }),
  ],
  [
    'cuts keys at a brace',
    /told apart/,
    (right) => ({
      get: async (key) => right.get(key.split('}')[0] ?? ''),
      set: async (key, ...rest) => right.set(key.split('}')[0] ?? '', ...rest),
    }),
  ],
  [
    'keeps what came last',
    /higher order/,
    (right, world) => ({
      set: async (key, ...rest) => {
        world.values.delete(key);
        await right.set(key, ...rest);
      },
    }),
  ],
  [
    'compares LSNs as doubles',
    /higher order/,
    (right) => ({
      set: async (key, value, { timeline, lsn }, lifetimeMillis) =>
        right.set(key, value, { timeline, lsn: BigInt(Number(lsn)) }, lifetimeMillis),
    }),
  ],
  [
    'has a clock for each user',
    /one clock/,
    (right) => {
      const clock = String(Math.random());
      return {
        lease: async (key, millis) => {
          const { isGranted, time } = await right.lease(key, millis);
          return { isGranted, time: { ...time, clock } };
        },
      };
    },
  ],
  [
    'grants each lease',
    /lease is granted to one only/,
    (right) => ({
      lease: async (key, millis) => ({ ...(await right.lease(key, millis)), isGranted: true }),
    }),
  ],
  [
    'lets anybody release',
    /lease is granted to one only/,
    (_right, world) => ({
      release: async (key) => void world.leases.delete(key),
    }),
  ],
  [
    'keeps no messages',
    /message is heard/,
    ({ channel }, world) => ({
      channel: channel && {
        ...channel,
        tell: async (...args) => {
          await channel.tell(...args);
          world.messages.length = 0;
        },
      },
    }),
  ],
  [
    'says that all have heard it before they have',
    /message is heard/,
    ({ channel }) => ({
      channel: channel && {
        ...channel,
        tell: async (...args) => void setTimeout(() => void channel.tell(...args), 20),
      },
    }),
  ],
];

describe('the check of shared stores', () => {
  it('accepts a store that does what it has to, also one without a channel', async () => {
    const world = new World();
    await checkSharedStore(() => world.user());
    await checkSharedStore(async () => ({ ...world.user(), channel: undefined }));
  });

  it.each(faults)('finds a store that %s', async (_what, promise, fault) => {
    const world = new World();
    const make = () => {
      const right = world.user();
      return { ...right, ...fault(right, world) };
    };
    await expect(checkSharedStore(make)).rejects.toThrow(promise);
  });
});
