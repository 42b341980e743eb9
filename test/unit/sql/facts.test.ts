import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Grammar } from '../../../src/sql/grammar.js';
import { factsOf } from '../../../src/sql/walk.js';

describe('what a text says of itself', () => {
  let grammar: Grammar;
  beforeAll(async () => {
    grammar = await Grammar.load();
  });
  const facts = (text: string) => factsOf(grammar.parse(text));

  it.each([
    ['select 1', 'read'],
    ['with a as (select 1) select * from a', 'read'],
    ['with a as (select 1), b as (with c as (delete from t returning *) select * from c) select * from b', 'write'],
    ['select * from (select * from t for share) s', 'write'],
    ['(select 1) union (select 2 for update)', 'write'],
    ['select 1 into t', 'write'],
    ['explain insert into t values (1)', 'read'],
    ['explain (analyze) insert into t values (1)', 'write'],
    ['explain (analyze off) insert into t values (1)', 'read'],
    ['explain (analyze, analyze false) insert into t values (1)', 'read'],
    ['explain (analyze off, analyze) insert into t values (1)', 'write'],
    ['copy t to stdout', 'read'],
    ["copy t to '/tmp/t'", 'write'],
    ['copy t from stdin', 'write'],
    ['show all', 'read'],
    ['set x = 1', 'session'],
    ['begin', 'session'],
    ['select 1; set x = 1', 'session'],
    ['select 1; set x = 1; delete from t', 'write'],
    ['create temp table t (a int)', 'session'],
    ['create table t (a int)', 'write'],
    ['call p()', 'write'],
  ])('%s: %s', (text, expected) => {
    expect(facts(text).class).toBe(expected);
  });

  it('takes a CTE for a relation only where it is none', () => {
    const relations = (text: string) => facts(text).relations.map(({ name }) => name);
    expect(relations('with t as (select 1) select * from t')).toEqual([]);
    // Without RECURSIVE a CTE does not see itself.
    expect(relations('with t as (select * from t) select * from t')).toEqual(['t']);
    expect(relations('with recursive t as (select 1 union select * from t) select * from t')).toEqual([]);
    expect(relations('select * from (with t as (select 1) select * from t) s, t')).toEqual(['t']);
    expect(relations('with t as (select 1) select * from public.t')).toEqual(['t']);
  });

  it('names every function, wherever it hides', () => {
    const text = `select a(), b() over (order by c()) from d() as x, lateral rows from (e(), f()) where g() and exists (select h()) group by i()
      having j() > 0 order by k() limit l() offset m()`;
    expect(
      facts(text)
        .calls.map(({ name }) => name)
        .sort(),
    ).toEqual('abcdefghijklm'.split(''));
  });

  it('never calls a text a read that holds a node which changes data, and never throws', () => {
    const reads = [
      'select 1',
      'select * from t where a = 1',
      'select f(a) from t join u using (id)',
      'values (1)',
      'select array(select 1)',
    ];
    const writes = [
      'insert into t values (1) returning 1',
      'update t set a = 1 returning 1',
      'delete from t returning 1',
      'merge into t using u on t.a = u.a when matched then delete',
    ];
    const read = fc.letrec<{ query: string }>((tie) => ({
      query: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(...reads),
        tie('query').map((q) => `select * from (${q}) s`),
        tie('query').map((q) => `with c as (${q}) select * from c`),
        tie('query').map((q) => `select 1 where exists (${q})`),
        fc.tuple(tie('query'), tie('query')).map(([a, b]) => `(${a}) union all (${b})`),
      ),
    })).query;
    const wrap = fc.constantFrom<(q: string) => string>(
      (q) => `with w as (${q}) select * from w`,
      (q) => `select * from t, (with w as (${q}) select 1) s`,
      (q) => `explain analyze ${q}`,
      (q) => `select 1; ${q}`,
      (q) => `${q}; select 1`,
    );
    const classOf = (text: string): string | undefined => {
      let tree: unknown[];
      try {
        tree = grammar.parse(text);
      } catch {
        return undefined;
      }
      return factsOf(tree).class;
    };
    fc.assert(fc.property(read, (text) => classOf(text) === 'read'));
    fc.assert(
      fc.property(read, fc.constantFrom(...writes), wrap, (around, text, how) => {
        const whole = how(text);
        // Where the grammar does not let it stand there, there is nothing to classify.
        expect(classOf(whole) ?? 'write').toBe('write');
        expect(classOf(`${around}; ${whole}`) ?? 'write').toBe('write');
      }),
    );
    // Mutations: characters dropped, doubled and swapped.
    fc.assert(
      fc.property(read, fc.constantFrom(...writes), fc.nat(200), fc.nat(200), (around, text, i, j) => {
        const whole = `with w as (${text}) ${around}`;
        const mutated = whole.slice(0, i % whole.length) + whole.slice(j % whole.length);
        const tree = (() => {
          try {
            return grammar.parse(mutated);
          } catch {
            return undefined;
          }
        })();
        if (tree === undefined) return;
        const holdsWrite = /"(Insert|Update|Delete|Merge)Stmt"/.test(JSON.stringify(tree));
        const isExplained = /^\s*explain(?! analyze)/.test(mutated);
        if (holdsWrite && !isExplained) expect(factsOf(tree).class).not.toBe('read');
      }),
      { numRuns: 2_000 },
    );
  });
});
