import { describe, expect, it } from 'vitest';
import { ReadNotes, type ReadSubject } from '../../../src/freshness/read-notes.js';
import { position } from './positions.js';

const NOBODY = (): ReadSubject | undefined => undefined;
const NEVER = Number.NEGATIVE_INFINITY;

const lsnOf = (notes: ReadNotes) => notes.freshness(0, NOBODY).position?.lsn;

describe('what a session has read, taken together', () => {
  it('is as old as the oldest read, and stays good as long as the first bound to pass', () => {
    const notes = new ReadNotes(false);
    notes.saw(position(200n), 1_000, 5_000);
    notes.saw(position(100n), 900, undefined);
    notes.saw(position(300n), 1_200, 2_000);
    expect(notes.freshness(2_000, NOBODY)).toMatchObject({ ageMillis: 1_100, remainingMillis: 1_200 });
    expect(notes.freshness(9_000, NOBODY)).toMatchObject({ ageMillis: 8_100, remainingMillis: 0 });
    expect(lsnOf(notes)).toBe('0/64');
  });

  it('has no position and no age where one read has none, and is within no bound', () => {
    const notes = new ReadNotes(false);
    notes.saw(position(100n), 1_000, 5_000);
    notes.saw(undefined, NEVER, 5_000);
    notes.saw(position(300n), 1_000, 5_000);
    const { position: found, ageMillis, remainingMillis } = notes.freshness(1_000, NOBODY);
    expect([found, ageMillis, remainingMillis]).toEqual([undefined, undefined, 0]);
  });

  it('is of tables that are known only where all are', () => {
    const notes = new ReadNotes(false);
    notes.of(['b', 'a']);
    notes.asked('select');
    const of = (subject: ReadSubject | undefined) => notes.freshness(0, () => subject).tables;
    expect(of({ tables: ['c', 'a'], obstacle: undefined })).toEqual(['a', 'b', 'c']);
    expect(of({ tables: ['c'], obstacle: 'it is VOLATILE' })).toBeUndefined();
    expect(of(undefined)).toBeUndefined();
  });

  it('is for everybody only where nothing stands against it, and what will not pass comes first', () => {
    const notes = new ReadNotes(false);
    notes.of(['a']);
    expect(notes.obstacle(NOBODY)).toBeUndefined();
    notes.asked('one');
    notes.asked('two');
    const mayPass = (known: Record<string, ReadSubject>) => notes.obstacle((text) => known[text])?.mayPass;
    const fine = { tables: [], obstacle: undefined };
    expect(mayPass({ one: fine })).toBe(true);
    expect(mayPass({ one: fine, two: fine })).toBeUndefined();
    expect(mayPass({ two: { tables: [], obstacle: 'row security' } })).toBe(false);
    notes.scoped();
    expect(mayPass({ one: fine, two: fine })).toBe(false);
  });

  it('counts for the session around it, and goes on from there', () => {
    const outer = new ReadNotes(false);
    outer.saw(position(100n), 1_000, undefined);
    const inner = new ReadNotes(false, outer, outer);
    const apart = new ReadNotes(false, outer);
    apart.saw(position(50n), 500, undefined);
    apart.asked(undefined);
    expect([lsnOf(inner), lsnOf(outer), lsnOf(apart)]).toEqual(['0/64', '0/32', '0/32']);
    expect(outer.obstacle(NOBODY)?.mayPass).toBe(false);
    expect(inner.obstacle(NOBODY)).toBeUndefined();
  });

  it('does not grow without end in a session that lives on', () => {
    const notes = new ReadNotes(false);
    for (let i = 0; i < 1_000; i++) notes.asked(`select ${i}`);
    let count = 0;
    notes.obstacle(() => {
      count++;
      return undefined;
    });
    expect(count).toBe(0);
    expect(notes.obstacle(NOBODY)?.mayPass).toBe(false);
  });

  it('stays published with what was read by then, whatever caches are told later', () => {
    const notes = new ReadNotes(false);
    notes.told(true);
    notes.saw(undefined, 0, undefined);
    notes.told(false);
    expect([notes.isPublished, notes.hasReadOn]).toEqual([true, true]);
    notes.told(true);
    expect(notes.hasReadOn).toBe(false);
  });

  it('is that of the request which the session answers, whatever sessions lie between', () => {
    const process = new ReadNotes(false);
    const request = new ReadNotes(false, process);
    const route = new ReadNotes(false, request, request);
    expect(route.ofRequest).toBe(route);
    request.carry();
    expect([route.ofRequest, request.ofRequest, process.ofRequest]).toEqual([request, request, process]);
    request.told(true);
    expect(request.hasReadOn).toBe(false);
    route.saw(undefined, 0, undefined);
    expect(request.hasReadOn).toBe(true);
  });
});
