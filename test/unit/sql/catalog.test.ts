import { beforeAll, describe, expect, it } from 'vitest';
import { Catalog } from '../../../src/sql/catalog.js';
import type { FunctionRow, RelationRow, ResolutionRow } from '../../../src/sql/catalog-rows.js';
import { Grammar } from '../../../src/sql/grammar.js';
import { Interruption } from '../../../src/sql/turn.js';
import { factsOf } from '../../../src/sql/walk.js';

let oid = 16_384;
const sql = (name: string, body: string, over: Partial<FunctionRow> = {}): FunctionRow => ({
  oid: String(oid++),
  schema: 'public',
  name,
  argCount: 0,
  defaultCount: 0,
  isVariadic: false,
  signature: '',
  volatility: 'v',
  language: 'sql',
  body,
  isOfExtension: false,
  hasOwnPath: false,
  defaults: null,
  parts: null,
  takes: '',
  gives: '25',
  ...over,
});
const table: RelationRow = {
  schema: 'public',
  name: 't',
  kind: 'r',
  persistence: 'p',
  definition: null,
  policies: null,
  hidden: null,
  rowType: '20000',
  columns: ['23 id'],
  memberCount: 0,
};
const resolution: ResolutionRow = { operators: [], functions: [], records: [], kin: [], casts: [] };

describe('the judgement of the catalogue', () => {
  let grammar: Grammar;
  beforeAll(async () => {
    grammar = await Grammar.load();
  });
  const judge = (text: string, functions: FunctionRow[], declared: string[] = []) =>
    new Catalog(
      { searchPath: ['pg_catalog', 'public'], functions, relations: [table], operators: [], types: [], resolution },
      grammar,
      declared,
    ).judge(factsOf(grammar.parse(text)));

  it('believes functions that lead back to each other when nothing in them writes, and none of them when something does', () => {
    const honest = [sql('f', 'select g()'), sql('g', 'select f()')];
    for (const name of ['f', 'g']) expect(judge(`select ${name}()`, honest).class).toBe('read');
    const lying = [sql('f', 'select g(), h()'), sql('g', 'select f()'), sql('h', "select nextval('s')")];
    const whole = 'select f(), g()';
    expect(judge(whole, lying).class).toBe('write');
    // Whichever is asked for first.
    const catalog = new Catalog(
      { searchPath: ['public'], functions: lying, relations: [], operators: [], types: [], resolution },
      grammar,
      [],
    );
    expect(catalog.judge(factsOf(grammar.parse('select f()'))).class).toBe('write');
    expect(catalog.judge(factsOf(grammar.parse('select g()'))).class).toBe('write');
  });

  it('takes the names in a function with a search path of its own for what they may mean anywhere', () => {
    const functions = [
      sql('f', 'select helper()', { hasOwnPath: true }),
      sql('helper', 'select 1'),
      sql('helper', "select nextval('s')", { schema: 'elsewhere' }),
    ];
    expect(judge('select f()', functions).class).toBe('write');
    expect(judge('select helper()', functions).class).toBe('read');
  });

  it('believes what is declared, by name or for one overload', () => {
    const functions = [
      sql('f', "select nextval('s')", { argCount: 1, signature: 'integer' }),
      sql('f', "select nextval('s')", { argCount: 2, signature: 'integer, text' }),
    ];
    expect(judge('select f(1)', functions, ['public.f']).class).toBe('read');
    expect(judge("select f(1, 'a')", functions, ['public.f(integer,text)']).class).toBe('read');
    expect(judge("select f(1, 'a')", functions, ['public.f( integer , text )']).class).toBe('read');
    expect(judge('select f(1)', functions, ['public.f(integer, text)']).class).toBe('write');
  });

  it('judges an internal function by the built-in behind it, and takes a type’s name for a cast', () => {
    const internal = { language: 'internal', volatility: 'i' as const, argCount: 1 };
    const functions = [
      sql('same', 'int8eq', internal),
      sql('hidden', 'nextval_oid', internal),
      sql('next', 'nextval', internal),
    ];
    expect(judge('select same(1)', functions).class).toBe('read');
    expect(judge('select next(1)', functions).class).toBe('write');
    expect(judge('select hidden(1)', functions).class).toBe('write');
    expect(judge("select tsquery('a'), regclass('t')", functions).class).toBe('read');
    expect(judge("select tsquery('a', 'b')", functions)).toMatchObject({ unknown: 'tsquery' });
  });

  it('knows no name outside the search path, and says which it does not know', () => {
    const functions = [sql('f', 'select 1', { schema: 'elsewhere' })];
    expect(judge('select f()', functions)).toMatchObject({ class: 'write', unknown: 'f' });
    expect(judge('select elsewhere.f()', functions).class).toBe('read');
    expect(judge('select * from nowhere', functions)).toMatchObject({ class: 'write', unknown: 'nowhere' });
  });

  describe('of functions that lead to very many others', () => {
    const names = Array.from({ length: 40 }, (_, i) => `f${i}`);
    const tangled = (last: string) =>
      names.map((name, i) =>
        sql(name, `select ${names.map((other) => `${other}()`).join(', ')}${i === 39 ? last : ''}`),
      );
    const chain = (length: number) =>
      Array.from({ length }, (_, i) => sql(`f${i}`, i < length - 1 ? `select f${i + 1}()` : 'select 1'));
    const catalogOf = (functions: FunctionRow[]) =>
      new Catalog(
        { searchPath: ['public'], functions, relations: [], operators: [], types: [], resolution },
        grammar,
        [],
      );

    it('looks at each of them once, however often they lead to each other', () => {
      expect(judge('select f0()', tangled('')).class).toBe('read');
      expect(judge('select f0()', tangled(", nextval('s')")).class).toBe('write');
      const catalog = catalogOf(tangled(", nextval('s')"));
      for (const name of names) expect(catalog.judge(factsOf(grammar.parse(`select ${name}()`))).class).toBe('write');
      const honest = catalogOf(tangled(''));
      for (const name of names) expect(honest.judge(factsOf(grammar.parse(`select ${name}()`))).class).toBe('read');
    });

    it('knows for those that lead to a declared one that it is only somebody’s word', () => {
      const functions = [...tangled(', declared()'), sql('declared', "select nextval('s')")];
      const catalog = new Catalog(
        { searchPath: ['public'], functions, relations: [], operators: [], types: [], resolution },
        grammar,
        ['public.declared'],
      );
      for (const name of names) expect(catalog.judge(factsOf(grammar.parse(`select ${name}()`))).isDeclared).toBe(true);
    });

    it('takes one for a write that leads too far, and only that one', () => {
      const catalog = catalogOf(chain(1_000));
      const of = (text: string) => catalog.judge(factsOf(grammar.parse(text)));
      expect(of('select f0()')).toMatchObject({ class: 'write', because: 'it is nested too deeply' });
      expect(of('select f999()').class).toBe('read');
      expect(of('select f960()').class).toBe('read');
    });

    it('lets others run after some definitions, and goes on where it was', () => {
      const long = (i: number) => sql('f', `select ${i}, '${'x'.repeat(5_000)}'`, { argCount: i, signature: 'int' });
      const catalog = catalogOf(Array.from({ length: 20 }, (_, i) => long(i)));
      const facts = factsOf(grammar.parse('select f(variadic array[1])'));
      let count = 0;
      for (;;) {
        try {
          expect(catalog.judge(facts).class).toBe('read');
          break;
        } catch (error) {
          expect(error).toBeInstanceOf(Interruption);
          expect(++count).toBeLessThan(20);
        }
      }
      expect(count).toBeGreaterThan(5);
    });

    it('takes one for a write whose definition is too long, without reading it', () => {
      const functions = [sql('f', `select 1 /* ${'x'.repeat(70_000)} */`), sql('g', 'select f()')];
      for (const name of ['f', 'g'])
        expect(judge(`select ${name}()`, functions)).toMatchObject({ because: expect.stringContaining('too long') });
    });
  });
});
