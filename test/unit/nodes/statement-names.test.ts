import { beforeEach, describe, expect, it } from 'vitest';
import { StatementNames } from '../../../src/nodes/statement-names.js';
import { Profile } from '../../../src/sql/profile.js';

describe('the names of prepared statements', () => {
  let closed: string[];
  let connection: { parsedStatements: Record<string, string>; close(statement: { name: string }): void };
  let names: StatementNames;

  beforeEach(() => {
    closed = [];
    connection = { parsedStatements: {}, close: ({ name }) => void closed.push(name) };
    names = StatementNames.of({ connection }) as StatementNames;
  });

  let made = 0;
  const text = (length = 10, sightings = 2): Profile => {
    const own = `${++made}`.padStart(length, 'x');
    const profile = new Profile(own);
    for (let i = 0; i < sightings; i++) profile.sighted(own);
    return profile;
  };
  /** As pg does when the server has taken it. */
  const prepare = (profile: Profile): string => {
    const name = names.use(profile);
    if (name === undefined) throw new Error('no name was given');
    connection.parsedStatements[name.text] = 'text';
    names.settle(profile, name, null);
    return name.text;
  };

  it('are not for clients that prepare nothing', () => {
    expect(StatementNames.of({})).toBeUndefined();
  });

  it('are given at second sight', () => {
    expect(names.use(text(10, 1))).toBeUndefined();
    expect(names.use(text(10, 2))).toBeDefined();
  });

  it('are used by nobody else until their first use was answered', () => {
    const profile = text();
    const first = names.use(profile);
    expect(names.use(profile)).toBeUndefined();
    if (first !== undefined) names.settle(profile, first, null);
    expect(names.use(profile)).toBe(first);
  });

  it('are closed when their first use failed, and given anew', () => {
    const profile = text();
    const first = names.use(profile);
    if (first !== undefined) expect(names.settle(profile, first, { code: '22012' })).toBe(false);
    expect(closed).toEqual([first?.text]);
    const second = names.use(profile);
    expect(second).not.toBe(first);
    expect(second).toMatchObject({ text: first?.text, isReady: false });
  });

  it('outlast errors of what they stand for', () => {
    const profile = text();
    const name = prepare(profile);
    const used = names.use(profile);
    if (used !== undefined) expect(names.settle(profile, used, { code: '22012' })).toBe(false);
    expect(names.use(profile)?.text).toBe(name);
    expect(closed).toEqual([]);
  });

  it.each([
    [{ code: '0A000', routine: 'RevalidateCachedQuery' }, true],
    [{ code: '0A000', routine: 'ExecInitNode' }, false],
    [{ code: '26000', message: 'prepared statement "NAME" does not exist' }, true],
    [{ code: '42P05', message: 'prepared statement "NAME" already exists' }, true],
    [{ code: '26000', message: 'prepared statement "theirs" does not exist' }, false],
  ])('%o: the name was refused: %s', (error, isRefused) => {
    const profile = text();
    prepare(profile);
    const used = names.use(profile);
    if (used === undefined) throw new Error('no name');
    const message = 'message' in error ? error.message.replace('NAME', used.text) : undefined;
    expect(names.settle(profile, used, { ...error, message })).toBe(isRefused);
    expect(closed.length).toBe(isRefused ? 1 : 0);
  });

  it('are all forgotten when one is closed behind our back', () => {
    const [one, other] = [text(), text()];
    prepare(one);
    prepare(other);
    const used = names.use(one);
    if (used !== undefined) names.settle(one, used, { code: '26000', message: `prepared statement "${used.text}" …` });
    expect(connection.parsedStatements).toEqual({});
  });

  it('are bounded by count and by length, the oldest making room, and nothing is left of it', () => {
    const profiles = Array.from({ length: 300 }, () => text());
    const given = profiles.map(prepare);
    expect(closed).toEqual(given.slice(0, 44));
    expect(Object.keys(connection.parsedStatements)).toEqual(given.slice(44));
    prepare(text(1024 * 1024 - 10));
    expect(Object.keys(connection.parsedStatements)).toHaveLength(2);
    expect(names.use(text(1024 * 1024 + 1))).toBeUndefined();
  });
});
