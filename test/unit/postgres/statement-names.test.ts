import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it } from 'vitest';
import { type StatementName, StatementNames } from '../../../src/postgres/statement-names.js';
import { Profile } from '../../../src/statements/profile.js';

describe('the names of prepared statements', () => {
  let connection: EventEmitter & { parsedStatements: Record<string, string> };
  let names: StatementNames;
  let now: number;

  beforeEach(() => {
    connection = Object.assign(new EventEmitter(), { parsedStatements: {} });
    names = StatementNames.of({ connection }) as StatementNames;
    now = 0;
  });

  let made = 0;
  const text = (length = 10, sightings = 2): Profile => {
    const own = `${++made}`.padStart(length, 'x');
    const profile = new Profile(own);
    for (let i = 0; i < sightings; i++) profile.recordUse(own);
    return profile;
  };
  /** What is closed ahead of a statement under that name, and must be for it to be Parsed. */
  const closedAhead = (name: StatementName): string[] =>
    names.hasAhead(name)
      ? (names
          .ahead(name)
          .toString('latin1')
          .match(/pgladder_[0-9a-z_]+/g) ?? [])
      : [];
  const used = (profile: Profile): StatementName => {
    const name = names.use(profile, now);
    if (name === undefined) throw new Error('no name was given');
    return name;
  };
  /** As pg does when the server has taken it. */
  const prepare = (profile: Profile): string => {
    const name = used(profile);
    closedAhead(name);
    connection.parsedStatements[name.text] = 'text';
    names.settle(profile, name, null);
    return name.text;
  };

  it('make room for plans over many partitions, which take far more of the server’s memory', () => {
    const partitioned = Array.from({ length: 30 }, () => Object.assign(text(), { tableCount: 201 }));
    for (const profile of partitioned) prepare(profile);
    expect(Object.keys(connection.parsedStatements)).toHaveLength(9);
    expect(names.use(Object.assign(text(), { tableCount: 10_000 }), now)).toBeUndefined();
  });

  it('are closed along with the next Parse when they are to be Parsed anew, used or not', () => {
    const old = [prepare(text()), prepare(text())];
    now = 10_000;
    expect(closedAhead(used(text()))).toEqual(expect.arrayContaining(old));
  });

  it('are not for clients that prepare nothing', () => {
    expect(StatementNames.of({})).toBeUndefined();
  });

  it('are given at second sight', () => {
    expect(names.use(text(10, 1), now)).toBeUndefined();
    expect(names.use(text(10, 2), now)).toBeDefined();
  });

  it('are used by nobody else until their first use was answered', () => {
    const profile = text();
    const first = used(profile);
    expect(names.use(profile, now)).toBeUndefined();
    names.settle(profile, first, null);
    expect(used(profile)).toBe(first);
  });

  it('are closed ahead of their first use, and of no other', () => {
    const profile = text();
    const first = used(profile);
    expect(closedAhead(first)).toEqual([first.text]);
    names.settle(profile, first, null);
    expect(closedAhead(used(profile))).toEqual([]);
  });

  it('are given anew when their first use failed, and closed ahead of what is sent under a name next', () => {
    const [profile, other] = [text(), text()];
    const first = used(profile);
    closedAhead(first);
    expect(names.settle(profile, first, { code: '22012', severity: 'ERROR' })).toBe(false);
    const next = used(other);
    expect(closedAhead(next)).toEqual([first.text, next.text]);
    const second = used(profile);
    expect(second).not.toBe(first);
    expect(second).toMatchObject({ text: first.text, isReady: false });
  });

  it('are Parsed anew when their Parse is old, one use of them alone', () => {
    const profile = text();
    const name = prepare(profile);
    now = 1_499;
    expect(used(profile)).toMatchObject({ isReady: true });
    now = 1_500;
    const renewed = used(profile);
    expect(renewed).toMatchObject({ text: name, isReady: false, fields: undefined });
    expect(names.use(profile, now)).toBeUndefined();
    expect(closedAhead(renewed)).toEqual([name]);
    expect(connection.parsedStatements).toEqual({});
    names.settle(profile, renewed, null);
    expect(used(profile)).toBe(renewed);
  });

  it('are Parsed anew after a definition that has passed through the library', () => {
    const definitions = { changedAt: Number.NEGATIVE_INFINITY };
    const profile = new Profile('defined', definitions);
    profile.comesAgain('defined');
    prepare(profile);
    expect(used(profile)).toMatchObject({ isReady: true });
    definitions.changedAt = now;
    expect(used(profile)).toMatchObject({ isReady: false });
  });

  it('are Parsed anew after a failure of what they stand for', () => {
    const profile = text();
    const name = prepare(profile);
    connection.emit('bindComplete');
    expect(names.settle(profile, used(profile), { code: '22003', severity: 'ERROR' })).toBe(false);
    expect(used(profile)).toMatchObject({ text: name, isReady: false });
  });

  const OUTDATED = { code: '0A000', routine: 'RevalidateCachedQuery', severity: 'ERROR' };
  it.each([
    [OUTDATED, 'Bind', true],
    [OUTDATED, 'Execute', false],
    [{ code: '0A000', routine: 'ExecInitNode', severity: 'ERROR' }, 'Bind', false],
    [{ code: '26000', message: 'prepared statement "NAME" does not exist' }, 'Bind', true],
    [{ code: '26000', message: 'prepared statement "NAME" does not exist' }, 'Execute', false],
    [{ code: '42P05', message: 'prepared statement "NAME" already exists' }, 'Bind', true],
    [{ code: '26000', message: 'prepared statement "theirs" does not exist' }, 'Bind', false],
    [{ code: '22003', severity: 'ERROR' }, 'Bind', true],
    [{ code: '22003', severity: 'ERROR' }, 'Execute', false],
    [{ code: '42883', severity: 'ERROR' }, 'Bind', true],
    [{ code: 'XX000', severity: 'ERROR' }, 'Bind', true],
    [{ code: '57014', severity: 'ERROR' }, 'Bind', false],
    [{ code: '55P03', severity: 'ERROR' }, 'Bind', false],
    [{ code: '22003' }, 'Bind', false],
  ])('%o during %s: it may be sent again without the name: %s', (error, during, isRefused) => {
    const profile = text();
    prepare(profile);
    // Of the statement before.
    connection.emit('bindComplete');
    names.over();
    const name = used(profile);
    if (during === 'Execute') connection.emit('bindComplete');
    const message = 'message' in error ? error.message?.replace('NAME', name.text) : undefined;
    expect(names.settle(profile, name, { ...error, message })).toBe(isRefused);
  });

  it('are all forgotten when one is closed behind our back', () => {
    const [one, other] = [text(), text()];
    prepare(one);
    prepare(other);
    const name = used(one);
    names.settle(one, name, { code: '26000', message: `prepared statement "${name.text}" …` });
    expect(connection.parsedStatements).toEqual({});
  });

  it('are bounded by count and by length, the oldest making room, and nothing is left of it', () => {
    const profiles = Array.from({ length: 300 }, () => text());
    const given = profiles.map(prepare);
    expect(Object.keys(connection.parsedStatements)).toEqual(given.slice(44));
    const long = used(text(1024 * 1024 - 10));
    expect(closedAhead(long)).toEqual([...given.slice(44, 299), long.text]);
    expect(Object.keys(connection.parsedStatements)).toHaveLength(1);
    expect(names.use(text(1024 * 1024 + 1), now)).toBeUndefined();
  });
});
