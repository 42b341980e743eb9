import { describe, expect, it } from 'vitest';
import type { Intent } from '../../../src/pool/access.js';
import { type Course, courseOf, type Situation } from '../../../src/pool/decide.js';
import type { Classification } from '../../../src/statements/classifier.js';

const PLAIN = { isAttached: false, begins: undefined, effects: [] };
const found = (over: object) => ({ ...PLAIN, ...over }) as unknown as Classification;
const READ = found({ class: 'read' });
const CURSOR = found({ class: 'read', isAttached: true });
const WRITE = found({ class: 'write', isAttached: true });
const TIMEOUT = found({ class: 'session', isAttached: true, effects: [{ kind: 'set', name: 'statement_timeout' }] });
const PATH = found({ class: 'session', isAttached: true, effects: [{ kind: 'set', name: 'search_path' }] });
const BEGIN = found({ class: 'session', isAttached: true, begins: 'plain' });
const BEGIN_READ_ONLY = found({ class: 'session', isAttached: true, begins: 'read-only' });
const BEGIN_SERIALIZABLE = found({ class: 'session', isAttached: true, begins: 'primary-only' });

const course = (statement: Classification, over: Partial<Situation> = {}): Course =>
  courseOf(statement, { intent: 'auto', isHolding: false, isBound: false, ...over });

describe("where a statement of a pool's client runs", () => {
  it.each<[string, Classification, Record<Intent, Course>]>([
    ['a read', READ, { auto: 'fresh', read: 'fresh', write: 'primary' }],
    ['a write', WRITE, { auto: 'primary', read: 'fresh', write: 'primary' }],
    ['a read that belongs to its connection', CURSOR, { auto: 'primary', read: 'fresh', write: 'primary' }],
    ['BEGIN', BEGIN, { auto: 'primary', read: 'begin', write: 'primary' }],
    ['BEGIN READ ONLY', BEGIN_READ_ONLY, { auto: 'begin', read: 'begin', write: 'primary' }],
    ['BEGIN SERIALIZABLE', BEGIN_SERIALIZABLE, { auto: 'primary', read: 'primary', write: 'primary' }],
    ['a timeout that is set', TIMEOUT, { auto: 'aside', read: 'begin', write: 'primary' }],
    ['a search path that is set', PATH, { auto: 'primary', read: 'begin', write: 'primary' }],
  ])('%s', (_, statement, expected) => {
    const intents: Intent[] = ['auto', 'read', 'write'];
    const courses = intents.map((intent) => [intent, course(statement, { intent })]);
    expect(Object.fromEntries(courses)).toEqual(expected);
  });

  it('is the connection that the client holds, whatever the statement is', () => {
    for (const statement of [READ, WRITE, PATH, BEGIN]) expect(course(statement, { isHolding: true })).toBe('held');
  });

  it('is its own connection for a setting, where it keeps to that', () => {
    expect(course(TIMEOUT, { isBound: true })).toBe('primary');
  });
});
