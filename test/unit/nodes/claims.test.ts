import { describe, expect, it } from 'vitest';
import { doubtOf, type Record, type Reference } from '../../../src/nodes/claims.js';
import type { Observation } from '../../../src/nodes/observation.js';

const known: Reference = { timeline: 3, ageMillis: 0, ceiling: 0x9000n };
const follower: Record = { followedLsn: 0x4000n, followedTimeline: 3 };
const stranger: Record = { followedLsn: undefined, followedTimeline: 0 };

function doubt(
  claim: Partial<Observation>,
  past = follower,
  reference: Partial<Reference> = {},
  isFollowed = false,
): string | undefined {
  const whole = { inRecovery: false, timeline: 4, lsn: 0x5000n, forkLsn: 0x4800n, ...claim } as Observation;
  return doubtOf(whole, past, { ...known, ...reference }, isFollowed);
}

describe('the word of a server that it is the primary', () => {
  it.each([
    ['a replica that was promoted where it had got to', {}, follower],
    [
      'one that was promoted further on than anybody had looked, while the old primary still wrote',
      { forkLsn: 0x8000n, lsn: 0x8800n },
      follower,
    ],
    ['one that is heard of for the first time', {}, stranger],
    ['one that was restarted since, and tells no place of its promotion any more', { forkLsn: undefined }, stranger],
    ['several promotions at once', { timeline: 11 }, stranger],
    ['the timeline that is known', { timeline: 3 }, stranger],
    ['one that was left behind, however far that went on by itself', { timeline: 2, lsn: 0xffff_ffffn }, stranger],
    ['one that was shown on its new timeline before it took writes', {}, { ...follower, followedTimeline: 4 }],
  ])('is believed: %s', (_, claim, past) => {
    expect(doubt(claim, past)).toBeUndefined();
  });

  it.each([
    ['the last timeline that there is', { timeline: 0xffff_ffff }, stranger, 'no cluster has had so many'],
    ['too many promotions at once', { timeline: 12 }, stranger, 'there cannot have been 9 promotions'],
    ['a place that no server can have written up to', { lsn: 0x9001n }, stranger, 'so much log'],
    ['a place before its own promotion', { forkLsn: 0x5001n }, stranger, 'before the place where it was promoted'],
    ['the timeline that it followed itself', { timeline: 2 }, follower, 'a timeline of its own'],
    [
      'the first timeline, which nobody is promoted to',
      { timeline: 1 },
      { ...follower, followedTimeline: 0 },
      'a timeline of its own',
    ],
    ['no promotion, though it was a replica', { forkLsn: undefined }, follower, 'does not tell where'],
    ['a promotion at a place that it had passed', { forkLsn: 0x3fffn }, follower, 'had left behind'],
  ])('is not believed: %s', (_, claim, past, why) => {
    expect(doubt(claim, past)).toContain(why);
  });

  it('may have skipped more timelines the longer nobody has looked, or where a replica follows it', () => {
    expect(doubt({ timeline: 60 })).toBeDefined();
    expect(doubt({ timeline: 60 }, follower, { ageMillis: 60_000 })).toBeUndefined();
    expect(doubt({ timeline: 60 }, follower, {}, true)).toBeUndefined();
    expect(doubt({ timeline: 60 }, stranger, { timeline: 0, ceiling: undefined })).toBeUndefined();
    expect(doubt({ timeline: 0xffff_ffff }, follower, { ageMillis: 1e15 }, true)).toBeDefined();
  });
});
