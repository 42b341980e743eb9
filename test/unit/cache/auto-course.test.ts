import { describe, expect, it } from 'vitest';
import {
  type Assessment,
  assess,
  type Course,
  FIRST_COURSE,
  nextCourse,
  refreshAgeOf,
} from '../../../src/cache/auto-course.js';
import { ChangeRate, Comparisons, Evidence, staleShareOf } from '../../../src/cache/auto-evidence.js';
import { termsUnasked } from '../../../src/cache/terms.js';

const PERIOD = 10_000;

interface Seen {
  readonly calls?: number;
  readonly hits?: number;
  readonly fills?: number;
  readonly agreed?: number;
  readonly differed?: number;
  readonly cost?: number;
  readonly anew?: number;
  readonly periods?: number;
}

/** What was seen in each of some periods. */
function evidenceOf({
  calls = 1_000,
  hits = 900,
  fills = 100,
  agreed = 40,
  differed = 0,
  cost = 2,
  anew = 0,
  periods = 1,
}: Seen = {}): Evidence {
  const evidence = new Evidence();
  for (let i = 0; i < periods; i++) {
    evidence.fade(PERIOD);
    evidence.callCount += calls;
    evidence.hitCount += hits;
    evidence.fillCount += fills;
    evidence.anewCount += anew;
    evidence.sampleCount += calls;
    if (calls > 0) evidence.cost(cost);
  }
  for (let i = 0; i < agreed; i++) evidence.comparisons.add(true);
  for (let i = 0; i < differed; i++) evidence.comparisons.add(false);
  return evidence;
}

const course = (own: Partial<Course>): Course => ({ ...FIRST_COURSE, ...own });
const verdictOf = (seen: Seen, own: Partial<Course> = {}) => assess(evidenceOf(seen), course(own), PERIOD).verdict;
const assessed = (verdict: Assessment['verdict']): Assessment => ({
  ...assess(evidenceOf(), FIRST_COURSE, PERIOD),
  verdict,
});

describe('whether a statement pays', () => {
  it('says what it would save: statements, time, and at the 99th percentile', () => {
    const evidence = evidenceOf({ calls: 1_000, hits: 900 });
    for (let i = 1; i <= 100; i++) evidence.cost(i);
    const found = assess(evidence, FIRST_COURSE, PERIOD);
    expect(found).toMatchObject({ verdict: 'pays', callsPerSecond: 100, hitShare: 0.9, savedStatementsPerSecond: 90 });
    expect(found.savedMillisPerSecond).toBeCloseTo(90 * evidence.costMillis);
    // Of a tenth of the reads the slowest tenth is the slowest hundredth of all.
    expect(found.savedP99Millis).toBeGreaterThan(5);
    expect(found.savedP99Millis).toBeLessThan(15);
  });

  it('takes reads that come again, answers that agree, and time that is saved', () => {
    expect(verdictOf({})).toBe('pays');
    expect(verdictOf({ hits: 40, fills: 60 })).toBe('unrepeated');
    expect(verdictOf({ hits: 0, fills: 0 })).toBe('unrepeated');
    expect(verdictOf({ agreed: 30, differed: 6 })).toBe('changing');
    expect(verdictOf({ agreed: 0, differed: 3 })).toBe('changing');
    expect(verdictOf({ cost: 0.01, periods: 1 })).toBe('little');
    expect(verdictOf({ calls: 5, hits: 5, fills: 0, periods: 1 })).toBe('unknown');
    expect(verdictOf({ agreed: 9 })).toBe('unknown');
  });

  it('goes by what is saved, not by a share: one hot key among a thousand that come once pays', () => {
    expect(verdictOf({ calls: 10_000, hits: 200, fills: 50 })).toBe('pays');
  });

  it('does not hide what comes again behind texts that are written anew', () => {
    expect(verdictOf({ anew: 1_000_000 })).toBe('pays');
    expect(verdictOf({ anew: 1_000_000, calls: 0, hits: 0, fills: 0, agreed: 0 })).toBe('anew');
  });

  it('counts what was seen long enough, and is little, as little', () => {
    expect(verdictOf({ calls: 1, hits: 1, fills: 0, agreed: 1, periods: 10 })).toBe('little');
  });

  it('asks for less to go on than to begin', () => {
    const weak = { hits: 40, fills: 60 };
    expect(verdictOf(weak)).toBe('unrepeated');
    expect(verdictOf(weak, { state: 'serving' })).toBe('pays');
    expect(verdictOf({ hits: 20, fills: 80 }, { state: 'serving' })).toBe('unrepeated');
  });

  it('stops for what changes while it is served', () => {
    const evidence = evidenceOf();
    for (let i = 0; i < 20; i++) evidence.changes.add(i % 4 !== 0, 5_000);
    expect(assess(evidence, course({ state: 'serving' }), PERIOD).verdict).toBe('pays');
    for (let i = 0; i < 20; i++) evidence.changes.add(false, 5_000);
    expect(assess(evidence, course({ state: 'serving' }), PERIOD).verdict).toBe('changing');
  });
});

describe('the course of a statement', () => {
  it('serves only after a shadow of three weighings in which it went on to pay', () => {
    let now = nextCourse(FIRST_COURSE, assessed('pays'), true);
    expect(now.state).toBe('shadow');
    now = nextCourse(nextCourse(now, assessed('pays'), true), assessed('unknown'), true);
    expect(now.state).toBe('shadow');
    now = nextCourse(now, assessed('pays'), true);
    expect(now.state).toBe('shadow');
    expect(nextCourse(now, assessed('pays'), true).state).toBe('serving');
    expect(nextCourse(now, assessed('changing'), true).state).toBe('stopped');
    expect(nextCourse(now, assessed('unrepeated'), true).state).toBe('watching');
  });

  it("never leaves its place with 'observe'", () => {
    let now = FIRST_COURSE;
    for (let i = 0; i < 10; i++) now = nextCourse(now, assessed('pays'), false);
    expect(now).toEqual(FIRST_COURSE);
  });

  it('stops at once for what changes, and for what saves too little after two weighings', () => {
    const serving = course({ state: 'serving' });
    expect(nextCourse(serving, assessed('changing'), true).state).toBe('stopped');
    const once = nextCourse(serving, assessed('unrepeated'), true);
    expect(once.state).toBe('serving');
    expect(nextCourse(once, assessed('unrepeated'), true).state).toBe('stopped');
    expect(nextCourse(nextCourse(once, assessed('pays'), true), assessed('little'), true).state).toBe('serving');
  });

  it('rests longer each time, up to an hour', () => {
    let now = course({ state: 'serving' });
    const rests: number[] = [];
    for (let i = 0; i < 9; i++) {
      now = nextCourse({ ...now, state: 'serving' }, assessed('changing'), true);
      rests.push(now.rest);
      let count = 0;
      for (; now.state === 'stopped'; count++) now = nextCourse(now, assessed('pays'), true);
      expect(count).toBe(rests.at(-1));
      expect(now.state).toBe('watching');
    }
    expect(rests).toEqual([6, 12, 24, 48, 96, 192, 360, 360, 360]);
  });
});

describe('what is kept without being asked for', () => {
  it('is given within the bound of the cluster, to all, and never since no server answers', () => {
    expect(termsUnasked({ maxStalenessMillis: 1_000 })).toEqual({
      maxStalenessMillis: 1_000,
      staleIfErrorMillis: 0,
      scope: undefined,
      tables: [],
      tags: [],
    });
  });
});

describe('how often answers change', () => {
  it('is told by looks, of which each sees one change for several', () => {
    const rate = new ChangeRate();
    rate.add(true, 1_000);
    rate.add(true, 1_000);
    expect(rate.perMilli).toBeUndefined();
    for (let i = 0; i < 16; i++) rate.add(true, 1_000);
    expect(rate.perMilli).toBe(0);
    // Half of the looks at a second's distance: ln 2 a second, and not one half.
    for (let i = 0; i < 64; i++) rate.add(i % 2 === 0, 1_000);
    expect((rate.perMilli ?? 0) * 1_000).toBeGreaterThan(0.55);
    expect((rate.perMilli ?? 0) * 1_000).toBeLessThan(0.85);
    for (let i = 0; i < 32; i++) rate.add(false, 1_000);
    expect((rate.perMilli ?? 0) * 1_000).toBeGreaterThan(1.5);
  });

  it('says which share of the answers is not the present one', () => {
    expect(staleShareOf(0, 5_000)).toBe(0);
    expect(staleShareOf(0.2 / 5_000, 5_000)).toBeCloseTo(0.1, 1);
    expect(staleShareOf(1, 5_000)).toBeGreaterThan(0.99);
  });

  it('sets the age at which answers are read anew: the earlier, the more often they change', () => {
    const ages = [64, 8, 2].map((sameEach) => {
      const evidence = new Evidence();
      for (let i = 1; i <= 64; i++) evidence.changes.add(i % sameEach !== 0, 1_000);
      return refreshAgeOf(evidence);
    });
    expect(ages[0]).toBeGreaterThan(ages[1]!);
    expect(ages[1]).toBeGreaterThan(ages[2]!);
    expect(ages[2]).toBeGreaterThan(0);
    expect(refreshAgeOf(new Evidence())).toBe(Number.POSITIVE_INFINITY);
  });

  it('forgets by what comes later, and not by time', () => {
    const comparisons = new Comparisons(16);
    for (let i = 0; i < 100; i++) comparisons.add(true);
    expect(comparisons.count).toBeLessThanOrEqual(16);
    for (let i = 0; i < 16; i++) comparisons.add(false);
    expect(comparisons.agreement).toBeLessThan(0.4);
  });
});
