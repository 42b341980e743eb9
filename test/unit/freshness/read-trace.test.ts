import { describe, expect, it } from 'vitest';
import { Floor } from '../../../src/freshness/floor.js';
import type { Position } from '../../../src/freshness/position.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { ReadTrace } from '../../../src/freshness/read-trace.js';
import { at, position } from './positions.js';

const shown = (endedAt: number, upTo: Position | undefined, server = 'r2') => ({
  server,
  endedAt,
  upTo,
  askedAt: endedAt,
  lsn: 55n,
});

const NO_TABLES: readonly string[] = [];

/** A session that has read on r1 until 100, while the primary stood at 50. */
function afterReading() {
  const history = new PrimaryHistory();
  history.add(at(10, 50n));
  const floor = new Floor(new Floor());
  const trace = new ReadTrace(floor, undefined, true, 'all');
  trace.ended('r1', 100);
  return { history, floor, trace };
}

describe('an answer from earlier that a session was shown', () => {
  it('takes the session to its server where nobody knows yet how much it shows', () => {
    const { history, floor, trace } = afterReading();
    // As an eventual read is, which asks for nothing.
    trace.showed(shown(90, undefined), NO_TABLES);
    expect(trace.server).toBe('r2');
    expect(trace.endedAt).toBe(90);
    expect(trace.readOn).toEqual(expect.arrayContaining(['r1', 'r2']));
    // What was seen on r1 has to be seen there, too.
    expect(floor.resolve(history)).toBe('pending');
    history.add(at(101, 70n));
    expect(floor.resolve(history)).toBe(70n);
  });

  it('is compared with the primary although its server has been before', () => {
    const { trace } = afterReading();
    trace.compared(trace.sightCount);
    expect(trace.readOn).toEqual([]);
    trace.showed(shown(90, undefined), NO_TABLES);
    expect(trace.readOn).toContain('r2');
  });

  it.each([undefined, position(60n)])('is compared with the primary where it came during a comparison', (upTo) => {
    const { trace } = afterReading();
    const before = trace.sightCount;
    trace.showed(shown(90, upTo), NO_TABLES);
    trace.compared(before);
    expect(trace.readOn).toEqual(expect.arrayContaining(['r1', 'r2']));
  });

  it('is something new to carry', () => {
    const { trace } = afterReading();
    const before = trace.sightCount;
    trace.showed(shown(90, position(60n)), NO_TABLES);
    expect(trace.sightCount).toBeGreaterThan(before);
    const floor = new Floor();
    trace.raise(floor);
    const history = new PrimaryHistory();
    history.add(at(200, 60n));
    expect(floor.resolve(history)).toBe(60n);
  });

  it.each([undefined, 'r2'])(
    'holds its session to its position where it was read in another process: after %s',
    (home) => {
      const history = new PrimaryHistory();
      history.add(at(10, 50n));
      history.add(at(20, 80n));
      const trace = new ReadTrace(new Floor(new Floor()), undefined, true, 'all');
      if (home !== undefined) trace.ended(home, 5);
      trace.showed(shown(Number.NEGATIVE_INFINITY, position(70n)), NO_TABLES);
      expect(trace.server).toBe('r2');
      expect(trace.readOn).toContain('r2');
      expect(trace.shownFloor?.resolve(history)).toBe(70n);
      const token = new Floor();
      trace.raise(token);
      expect(token.resolve(history)).toBe(70n);
    },
  );

  it('counts for the session around it, too', () => {
    const { trace } = afterReading();
    const inner = new ReadTrace(new Floor(), trace, true, 'all');
    inner.showed(shown(90, undefined), NO_TABLES);
    expect([inner.server, trace.server]).toEqual(['r2', 'r2']);
  });
});
