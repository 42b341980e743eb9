import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Grammar, TooLongError } from '../../../src/sql/grammar.js';
import { factsOf } from '../../../src/sql/walk.js';

describe('the grammar', () => {
  let grammar: Grammar;
  beforeAll(async () => {
    grammar = await Grammar.load();
  });
  afterEach(() => {
    process.exitCode = undefined;
  });
  const works = () => factsOf(grammar.parse('select 1')).class === 'read';

  /** Reads a text with ever so little more of the stack left, until it gets into the grammar and there is not enough for it. */
  const readWithoutStack = (read: () => unknown): void => {
    for (let i = 0; i < 100; i++) read();
    for (let attempt = 0; attempt < 20 && grammar.isWhole; attempt++) {
      let count = 0;
      const descend = (): void => {
        try {
          descend();
        } catch {
          // Nothing is left to call with.
        }
        if (count > 200 || !grammar.isWhole) return;
        try {
          count++;
          read();
        } catch {
          // It was too little.
        }
      };
      descend();
    }
  };
  const deep = `select ${'('.repeat(100)}1${')'.repeat(100)} + ${Array(100).fill('a').join('||')}`;

  it.each([
    ['parses', () => grammar.parse(deep)],
    ['takes a fingerprint', () => grammar.fingerprint(deep)],
    ['finds the tokens', () => grammar.tokens(deep)],
  ])('is made anew when the stack has overflown while it %s, and reads as before', async (_, read) => {
    for (let i = 0; i < 2; i++) {
      readWithoutStack(read);
      expect(grammar.isWhole).toBe(false);
      expect(works).toThrow('loaded anew');
      expect(grammar.fingerprint('select 1')).toBeUndefined();
      await grammar.renewed();
      expect(works()).toBe(true);
      expect(grammar.fingerprint('select 1')).toMatch(/^[0-9a-f]{16}$/);
    }
    expect(process.exitCode).toBeUndefined();
  });

  it('is kept when there is an error in the text', () => {
    for (const text of [
      'selec 1',
      "select '",
      'select $99999999999',
      `select ${'f('.repeat(240)}`,
      'é'.repeat(5_000),
    ]) {
      expect(() => grammar.parse(`${text} )`), text).toThrow();
      expect(grammar.isWhole).toBe(true);
    }
    expect(() => grammar.tokens("select 'a")).toThrow();
    expect(grammar.fingerprint('selec 1')).toBeUndefined();
    expect(works()).toBe(true);
  });

  it('is given nothing that is too long or too deeply nested', () => {
    for (const text of [
      `select ${'a+'.repeat(8_000)}a`,
      `select ${'('.repeat(2_000)}1`,
      `select '${'a'.repeat(2 ** 20)}'`,
    ]) {
      for (const read of [() => grammar.parse(text), () => grammar.tokens(text)]) expect(read).toThrow(TooLongError);
      expect(grammar.fingerprint(text)).toBeUndefined();
    }
    expect(works()).toBe(true);
  });

  it('reads a text to its end, as pg sends it, whatever halves of characters are in it', () => {
    const { calls } = factsOf(grammar.parse(`select '${'\ud800€'.repeat(100)}', nextval('s')`));
    expect(calls.map(({ name }) => name)).toEqual(['nextval']);
    expect(() => grammar.parse(`select '${'\ud800€'.repeat(100)}' )`)).toThrow('syntax error');
  });

  it('reads a list of a hundred thousand values for what it is', () => {
    const values = Array.from({ length: 100_000 }, (_, i) => i).join(', ');
    const facts = factsOf(grammar.parse(`select * from t where id in (${values}) for update`));
    expect(facts.class).toBe('write');
    expect(factsOf(grammar.parse(`select * from t where id in (${values})`)).class).toBe('read');
  });
});
