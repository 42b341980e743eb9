import { describe, expect, it } from 'vitest';
import { areSameRows, type WatchedStatement } from '../../../src/cache/watched.js';
import { WatchedStatements } from '../../../src/cache/watched-statements.js';
import { Random } from '../../simulation/random.js';

const PERIOD = 10_000;

/** So many reads of a statement, of which a cache would have answered nine of ten, with the same as the server. */
function reads(statement: WatchedStatement, count = 200, isSame = true): void {
  const { evidence } = statement;
  evidence.callCount += count;
  evidence.sampleCount += count;
  evidence.hitCount += count * 0.9;
  evidence.fillCount += count * 0.1;
  evidence.cost(2);
  for (let i = 0; i < 20; i++) evidence.comparisons.add(isSame);
}

describe('the statements that auto knows', () => {
  it('serves what pays within five minutes, and stops when it changes', () => {
    const all = new WatchedStatements();
    let weighings = 0;
    for (; !all.isServing && weighings < 30; weighings++) {
      reads(all.recordStatement('18:1'));
      all.weigh(PERIOD, true);
    }
    expect(weighings).toBeLessThan(10);
    const statement = all.statementOf('18:1')!;
    all.named('select 1', statement);
    expect(all.servingBy('select 1')).toBe(statement);
    expect(all.servingBy('select 2')).toBeUndefined();
    for (let i = 0; i < 200; i++) statement.given();
    for (let i = 0; i < 4; i++) statement.evidence.changes.add(false, 5_000);
    all.weigh(PERIOD, true);
    expect(all.servingBy('select 1')).toBeUndefined();
    expect(statement).toMatchObject({ verdict: 'changing', course: { state: 'stopped' } });
  });

  it('serves nothing that may not be kept, whatever it would save', () => {
    const all = new WatchedStatements();
    for (let i = 0; i < 30; i++) {
      const statement = all.recordStatement('18:1');
      statement.obstacle = 'now() depends on the time';
      reads(statement);
      all.weigh(PERIOD, true);
    }
    expect(all.isServing).toBe(false);
    expect(all.statementOf('18:1')?.verdict).toBe('never');
    // Nor what may not any more.
    const statement = all.recordStatement('18:2');
    for (let i = 0; i < 10; i++, reads(statement)) all.weigh(PERIOD, true);
    expect(statement.isServing).toBe(true);
    statement.obstacle = 'a function of it may write';
    all.weigh(PERIOD, true);
    expect(statement.isServing).toBe(false);
  });

  it('keeps those that come most often among a flood of others, in a bounded number of places', () => {
    const all = new WatchedStatements();
    const random = new Random(1);
    const hot = all.recordStatement('18:hot');
    for (let i = 0; i < 20_000; i++) {
      const digest = random.next() < 0.05 ? '18:hot' : `18:${i}`;
      const statement = all.recordStatement(digest);
      const isHot = random.next() < 0.05;
      all.recordKey(isHot ? 'hot' : `key ${i}`, isHot ? hot : statement);
      if (i % 2_000 === 0) all.weigh(PERIOD, true);
    }
    expect(all.statementOf('18:hot')).toBe(hot);
    expect(all.keyOf('hot')?.statement).toBe(hot);
    expect(all.list().length).toBeLessThanOrEqual(128);
  });

  it('does not serve a statement any more whose place another one has', () => {
    const all = new WatchedStatements();
    const statement = all.recordStatement('18:1');
    for (let i = 0; i < 10; i++, reads(statement)) all.weigh(PERIOD, true);
    all.named('select 1', statement);
    expect(all.servingBy('select 1')).toBe(statement);
    for (let i = 0; i < 5_000; i++) all.recordStatement(`18:${i % 500} other`);
    expect(all.servingBy('select 1')).toBeUndefined();
  });

  it('tells what has come before from what has not', () => {
    const all = new WatchedStatements();
    expect(all.hasSeenText('select 1')).toBe(false);
    expect(all.hasSeenText('select 1')).toBe(true);
    expect(all.hasSeenKey('1.1:')).toBe(false);
    expect(all.hasSeenKey('1.1:')).toBe(true);
  });

  it('leaves out the key that changes all the time, and keeps the others of its statement', () => {
    const all = new WatchedStatements();
    const statement = all.recordStatement('18:1');
    for (let i = 0; i < 30; i++) {
      for (let key = 0; key < 4; key++) all.recordKey(`steady ${key}`, statement).compared(true);
      all.recordKey('restless', statement).compared(false);
    }
    expect(all.keyOf('restless')?.isExcluded).toBe(true);
    expect(all.keyOf('steady 1')?.isExcluded).toBe(false);
    expect(statement.evidence.comparisons.agreement).toBeGreaterThan(0.95);
    for (let i = 0; i < 40; i++) all.keyOf('restless')?.compared(true);
    expect(all.keyOf('restless')?.isExcluded).toBe(false);
  });

  it('says of a statement whose keys all change that it changes', () => {
    const all = new WatchedStatements();
    const statement = all.recordStatement('18:1');
    for (let period = 0; period < 5; period++) {
      for (let i = 0; i < 40; i++) all.recordKey(`key ${i % 4}`, statement).compared(false);
      statement.evidence.callCount += 40;
      statement.evidence.sampleCount += 40;
      statement.evidence.cost(2);
      all.weigh(PERIOD, true);
    }
    expect(statement.verdict).toBe('changing');
  });

  it('reads anew in the background at most one answer for ten that it gives', () => {
    const statement = new WatchedStatements().recordStatement('18:1');
    let refreshCount = 0;
    for (let i = 0; i < 1_000; i++) {
      statement.given();
      if (!statement.mayRefresh()) continue;
      statement.refreshed();
      refreshCount++;
    }
    expect(refreshCount).toBeGreaterThan(90);
    expect(refreshCount).toBeLessThanOrEqual(101);
  });

  it('looks at one answer of many before its time', () => {
    const statement = new WatchedStatements().recordStatement('18:1');
    const ages = Array.from({ length: 20_000 }, () => statement.refreshAge(4_000, 5_000));
    const early = ages.filter((age) => age < 4_000);
    expect(new Set(early)).toEqual(new Set([250]));
    expect(early.length).toBeGreaterThan(100);
    expect(early.length).toBeLessThan(1_000);
  });
});

describe('rows', () => {
  it('are the same in any order', () => {
    const rows = [
      ['1', null],
      ['2', 'a'],
    ];
    expect(areSameRows(rows, rows.slice())).toBe(true);
    expect(areSameRows(rows, rows.toReversed())).toBe(true);
    expect(
      areSameRows(rows, [
        ['1', null],
        ['2', 'b'],
      ]),
    ).toBe(false);
    expect(areSameRows(rows, [['1', null]])).toBe(false);
    expect(areSameRows([['1', null]], [['1', 'null']])).toBe(false);
  });
});
