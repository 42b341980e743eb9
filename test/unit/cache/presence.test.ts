import { describe, expect, it } from 'vitest';
import { PresenceWatch } from '../../../src/cache/presence.js';

const GONE_MILLIS = 1_000;
const ada = { name: 'ada', entry: '1 0', heard: 0 };
const adaAgain = { ...ada, entry: '2 0' };
const bob = { name: 'bob', entry: '1 0', heard: 0 };

describe('who is taken for gone', () => {
  it('is whoever has not come for long enough since he was first seen', () => {
    const watch = new PresenceWatch(GONE_MILLIS);
    watch.see([ada, bob], 0);
    expect(watch.gone([ada, bob], 999)).toEqual([]);
    watch.see([adaAgain, bob], 999);
    expect(watch.gone([adaAgain, bob], 1_000)).toEqual([bob]);
    expect(watch.gone([adaAgain, bob], 1_999)).toEqual([adaAgain, bob]);
  });

  it('is not whoever has left meanwhile, and comes back', () => {
    const watch = new PresenceWatch(GONE_MILLIS);
    watch.see([ada], 0);
    watch.see([], 500);
    watch.see([ada], 600);
    expect(watch.gone([ada], 1_500)).toEqual([]);
    expect(watch.gone([ada], 1_600)).toEqual([ada]);
  });

  it('is nobody who was not seen', () => {
    expect(new PresenceWatch(GONE_MILLIS).gone([ada], 1e9)).toEqual([]);
  });
});
