import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { LadderError } from '../../src/errors.js';
import { logsOnly } from '../../src/redaction.js';

class Safe {
  readonly #code: string;
  readonly shown = 'in plain sight';

  static {
    logsOnly(Safe.prototype, 'Safe', (safe) => ({ digitCount: safe.#code.length }));
  }

  constructor(code: string) {
    this.#code = code;
  }
}

describe('what holds secrets', () => {
  it('is logged by its name and a few facts, at any depth, and by those that inherit from it', () => {
    class Vault extends Safe {}
    for (const safe of [new Safe('1234'), new Vault('1234')]) {
      expect(JSON.stringify({ safe })).toBe('{"safe":{"digitCount":4}}');
      expect(inspect(safe, { showHidden: true, depth: Number.POSITIVE_INFINITY })).toBe('Safe { digitCount: 4 }');
      expect(inspect({ a: { b: { safe } } }, { depth: 1 })).toBe('{ a: { b: [Object] } }');
      expect(inspect({ safe }, { depth: 0 })).toBe('{ safe: [Safe] }');
      expect(Object.keys(safe)).toEqual(['shown']);
    }
  });

  it('is logged without facts where there are none: as a prototype, or behind a proxy', () => {
    for (const odd of [Object.create(Safe.prototype), new Proxy(new Safe('1234'), {})]) {
      expect(JSON.stringify(odd)).toBe('{}');
      expect(inspect(odd)).toMatch(/^Safe \{/);
    }
  });

  it('loses nothing when it is a plain object and copied', () => {
    const options = { user: 'ada', ssl: 'key' };
    logsOnly(options, 'Options', ({ user }) => ({ user }));
    expect([JSON.stringify(options), inspect(options)]).toEqual(['{"user":"ada"}', "Options { user: 'ada' }"]);
    expect(JSON.stringify({ ...options })).toBe('{"user":"ada","ssl":"key"}');
  });
});

describe('an error of the library', () => {
  it('says in JSON what it is, and nothing of its cause', () => {
    const cause = new Error('somebody else’s words');
    const error = new LadderError('LADDER_OVERLOADED', 'too many', { cause, retryAfterMillis: 5 });
    const json = { name: 'LadderError', code: 'LADDER_OVERLOADED', message: 'too many', retryAfterMillis: 5 };
    expect(JSON.parse(JSON.stringify(error))).toEqual(json);
    expect(error.cause).toBe(cause);
  });
});
