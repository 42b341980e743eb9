import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Grammar } from '../../../src/sql/grammar.js';
import { withoutTrailingComment } from '../../../src/sql/trailing-comment.js';
import { StatementCache } from '../../../src/statements/cache.js';
import { Classifier } from '../../../src/statements/classifier.js';
import { statements } from '../../corpus/statements.js';

const runCount = process.env['SOAK'] === '1' ? 400_000 : 15_000;

describe('a trailing comment', () => {
  it.each([
    ['select 1 /* a */', 'select 1 '],
    ["select 1/*traceparent='00-ab-01',key='it''s'*/", 'select 1'],
    ['/* primary */ select 1 /**/', '/* primary */ select 1 '],
    ['select 1; /* a */', 'select 1; '],
    ['select 1 /* a */ /* b */', 'select 1 /* a */ '],
    ['select 1 -- /* a */', 'select 1 -- '],
    ['select 1 /***/', 'select 1 '],
  ])('of %j leaves %j', (text, plain) => {
    expect(withoutTrailingComment(text)).toBe(plain);
  });

  it.each([
    'select 1',
    'select 1 -- a',
    'select 1 /* a */ ',
    'select 1 /* a */;',
    'select 1 /* a /* b */ */',
    'select 1 /* a */ b */',
    'select 1 /* a /*/',
    'select 1 /*/',
    'select 1 -- /* a\n drop table t */',
    'select 1 -- /* a\r drop table t */',
    'select 1 /* \0 */',
    '/* a */',
    ' \n/* primary */',
    '*/',
    '',
  ])('of %j is left where it is', (text) => {
    expect(withoutTrailingComment(text)).toBeUndefined();
  });

  it.each([undefined, null, 5, {}])('of %j is none', (text) => {
    expect(withoutTrailingComment(text as unknown as string)).toBeUndefined();
  });
});

describe('a text and what stands before its trailing comment', () => {
  let grammar: Grammar;
  beforeAll(async () => {
    grammar = await Grammar.load();
  });

  /** The tree without the places in the text, or `undefined` for what the grammar does not take. */
  const treeOf = (text: string): string | undefined => {
    try {
      return JSON.stringify(grammar.parse(text), (key, value) => (key === 'stmt_len' ? undefined : value));
    } catch {
      return undefined;
    }
  };
  const differ = (text: string): boolean => {
    const plain = withoutTrailingComment(text);
    const tree = plain === undefined ? undefined : treeOf(plain);
    return tree !== undefined && treeOf(text) !== tree;
  };

  it.each([
    "select '/* ' order by 1 using */",
    'select $$/* $$ order by 1 using */',
    'select 1 as "/* " order by 1 using */',
    "select '\\/* ' order by 1 using */",
  ])('%j: the comment was part of a string, and what is left is no statement', (text) => {
    expect(withoutTrailingComment(text)).toBeDefined();
    expect(treeOf(withoutTrailingComment(text) as string)).toBeUndefined();
  });

  it('mean the same wherever the grammar takes what is left: texts of quotes, dollars, comments and line breaks', () => {
    const signs = `' '' " $$ $a$ $1 e E' U&' B' \\ /* */ / * -- - + < = @ ; , ( ) . : ::text 1 a`.split(' ');
    const parts = fc.constantFrom(...signs, '\n', '\r', ' ', '\t', 'select ', ' order by 1 using ', ' from t');
    const texts = fc.array(parts, { maxLength: 14 }).map((found) => `select ${found.join('')}`);
    const comments = fc.array(parts, { maxLength: 5 }).map((found) => `/*${found.join('')}*/`);
    let takenCount = 0;
    fc.assert(
      fc.property(texts, comments, (text, comment) => {
        if (withoutTrailingComment(text + comment) === text && treeOf(text) !== undefined) takenCount++;
        return !differ(text + comment);
      }),
      { numRuns: runCount },
    );
    expect(takenCount).toBeGreaterThan(runCount / 100);
  });

  it('mean the same for every statement of the corpus', () => {
    const comments = ["/*traceparent='00-1-2-01'*/", '/* " $$ */', ' /**/', ' -- /* a */', "/*/ ' */"];
    const texts = statements.flatMap(({ text }) => comments.map((comment) => text + comment));
    expect(texts.filter(differ)).toEqual([]);
  });

  const classifier = () =>
    new Classifier({
      load: () => Promise.reject(new Error('no catalogue')),
      grammarMissing: () => undefined,
      readOnlyFunctions: [],
      catalogRefreshMillis: 60_000,
      rejectsInvalidHints: true,
    });

  it('are classified once: any other comment is known at once', async () => {
    const known = classifier();
    await known.classify('select 1 /* a */');
    expect(known.known('select 1 /* b */', 0)).toMatchObject({ class: 'read', isDetached: true });
    expect(known.known('select 1 ', 0)).toBeUndefined();
    expect(known.known('select 1 /* b\n */', 0)).toBeUndefined();
    await known.classify('/* replica */ select 1 /* a */');
    expect(known.known('/* replica */ select 1 /* b */', 0)?.hint).toEqual({ target: 'replica' });
    expect(known.known('/* primary */ select 1 /* b */', 0)).toBeUndefined();
    known.misrouted('select 1 /* c */');
    expect(known.known('select 1 /* d */', 0)?.class).toBe('write');
  });

  it('have their own verdicts where what is left is no statement', async () => {
    const known = classifier();
    await known.classify("select '");
    for (const [text, isDefinition] of [
      ["select '/* ' order by 1 using */", false],
      ['create view v as select $$/* $$ order by 1 using */', true],
      ["select '/* '; drop table t; select 1 order by 1 using */", true],
    ] as const) {
      expect(await known.classify(text)).toMatchObject({ isDefinition });
      expect(known.known(text, 0)?.isDefinition ?? isDefinition).toBe(isDefinition);
    }
    expect((await known.classify("select 'a /* '; drop table t; --*/")).class).toBe('write');
  });

  it('are timed as one, and no two of them ever share a name', () => {
    const statements = new StatementCache({ changedAt: Number.NEGATIVE_INFINITY });
    const text = (i: number) => `select $1::int /* request ${i} */`;
    const first = statements.recordUse(text(0)).profile;
    first.took(0.1);
    for (let i = 1; i < 50; i++) {
      expect(statements.recordUse(text(i)).profile).toBe(first);
      expect(statements.recordUse(text(i)).profile.name).toBe(statements.recordUse(text(i)).profile.name);
    }
    expect(first.isFast(0)).toBe(true);
    expect(first.name).toBeUndefined();
    const names = Array.from({ length: 50 }, (_, i) => statements.recordUse(text(i)).profile.name).filter(
      (name) => name,
    );
    expect(new Set(names).size).toBe(names.length);
  });

  it('a comment that stays the same keeps its statement’s name', () => {
    const statements = new StatementCache({ changedAt: Number.NEGATIVE_INFINITY });
    const texts = ['a', 'b', 'c'].map((place) => `select $1::int /* ${place} */`);
    for (let i = 0; i < 2; i++) for (const text of texts) statements.recordUse(text);
    const names = texts.map((text) => statements.recordUse(text).profile.name);
    expect(new Set(names).size).toBe(3);
    expect(names.every((name) => name?.startsWith('pgladder_select_'))).toBe(true);
  });
});
