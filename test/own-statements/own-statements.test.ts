import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { demoStatements, ownStatements } from './own-statements.js';
import { parses, unqualified } from './unqualified.js';

describe('no name in a statement of the library’s own is left to the search path', () => {
  it.each(Object.entries(ownStatements))('%s', (_, text) => {
    expect(unqualified(text)).toEqual([]);
  });

  it.each(Object.entries(demoStatements))('%s of the demo', (_, text) => {
    expect(unqualified(text, ['public'])).toEqual([]);
  });

  it('nor in any that the sources spell out', () => {
    const files = sourcesIn('src').filter(({ file }) => !file.startsWith('testing/') && !SHOWN.has(file));
    expect(files.flatMap(({ file, source }) => complaints(file, source))).toEqual([]);
  });

  it('nor in one that is new', () => {
    const text = [
      "const a = 'select 1 = 2';",
      `const b = \`select \${a} from pg_catalog.pg_locks where granted\`;`,
      "ask('delete from jobs');",
      "say('the statement is no select');",
    ].join('\n');
    const source = ts.createSourceFile('new.ts', text, ts.ScriptTarget.Latest, true);
    expect(complaints('new.ts', source)).toEqual([
      'new.ts: operator = in: select 1 = 2',
      'new.ts: not known to own-statements.ts: select  from pg_catalog.pg_locks where granted',
      'new.ts: DeleteStmt is not understood in: delete from jobs',
      'new.ts: relation jobs in: delete from jobs',
    ]);
  });

  it('nor on the connections of pg-ladder/testing, which have a search path of their own', () => {
    const files = sourcesIn('src').filter(({ file }) => file.startsWith('testing/'));
    const connecting = files.filter(({ source }) => /new (pg\.)?(Client|Pool)\b/.test(source.text));
    expect(connecting.map(({ file }) => file)).toEqual(['testing/control.ts']);
    expect(connecting[0]?.source.text).toContain("'-c search_path=pg_catalog,pg_temp'");
    expect(connecting[0]?.source.text).toContain('options: SAFE_PATH');
  });
});

describe('every statement of the library’s own', () => {
  it.each(Object.entries(ownStatements))('%s is one line that says what it does, and whose it is', (name, text) => {
    expect(text).not.toMatch(/[\r\n\t]| {2}/);
    for (const part of text.split(/(?<=\*\/); /)) expect(part).toMatch(/ \/\* pg-ladder \*\/$/);
    const isControl =
      /^(?:BEGIN|COMMIT$|ROLLBACK|SAVEPOINT|RELEASE|UNDO|SET_READ_ONLY|LISTEN|UNLISTEN|RELAX_ALL|IDENTITY_RELAXED)/.test(
        name,
      );
    expect(text.startsWith('select ')).toBe(!isControl);
  });
});

describe('what is left to the search path', () => {
  it.each([
    ['a function', 'select now()'],
    ['a function of another schema', 'select public.f(1)'],
    ['an operator', 'select 1 from pg_catalog.pg_class c where c.oid = 1'],
    ['an operator with one argument', 'select - x from pg_catalog.pg_is_in_recovery() as x'],
    ['an operator of arrays', "select 1 = any ('{1}')"],
    ['IN', 'select 1 in (1, 2)'],
    ['IN of a query', 'select 1 in (select 2)'],
    ['ANY of a query', 'select 1 < any (select 2)'],
    ['a row of operators', 'select (1, 2) = (select 1, 2)'],
    ['BETWEEN', 'select 1 between 0 and 2'],
    ['NOT BETWEEN', 'select 1 not between 0 and 2'],
    ['LIKE', "select 'a' like 'b'"],
    ['ILIKE', "select 'a' ilike 'b'"],
    ['SIMILAR TO', "select 'a' similar to 'b'"],
    ['NULLIF', 'select nullif(1, 2)'],
    ['IS DISTINCT FROM', 'select 1 is distinct from 2'],
    ['IS NOT DISTINCT FROM', 'select 1 is not distinct from 2'],
    ['CASE with an argument', 'select case 1 when 2 then 3 end'],
    ['JOIN USING', 'select 1 from pg_catalog.pg_class a join pg_catalog.pg_class b using (oid)'],
    ['NATURAL JOIN', 'select 1 from pg_catalog.pg_class a natural join pg_catalog.pg_class b'],
    ['ORDER BY USING', 'select 1 order by 1 using <'],
    ['a relation', 'select 1 from pg_stat_activity'],
    ['a relation beside one that WITH names', 'with a as (select 1) select 1 from b'],
    ['a relation by its schema that WITH names', 'with a as (select 1) select 1 from public.a'],
    ['a temporary relation', 'select 1 from pg_temp.pg_stat_activity'],
    ['a type', "select 'x'::text"],
    ['a type of an array', "select '{}'::text[]"],
    ['a type of a column', 'create table pg_catalog.t (name text)'],
    ['a collation', 'select \'a\' collate "C"'],
    ['a name in text', "select 'pg_class'::pg_catalog.regclass"],
    ['a name in text that a function takes', "select pg_catalog.to_regclass('pg_class')"],
    ['a function that sends a query', 'select pg_catalog.pg_get_viewdef(1)'],
    ['a field that may be a function', 'select (c).f from pg_catalog.pg_class c'],
    ['what nobody has thought of', 'select xmlparse(document x)'],
    ['another search path', 'set search_path = public'],
  ])('is seen in %s', (_, text) => {
    expect(unqualified(text)).not.toEqual([]);
  });

  it('is nothing where names are qualified, or the grammar itself means pg_catalog', () => {
    expect(unqualified('with a as (select 1) select 1 from a')).toEqual([]);
    const text = `set local search_path = pg_catalog, pg_temp; select pg_catalog.pg_get_viewdef(c.oid), coalesce(1, 2)::int, extract(epoch from x),
      c.oid operator(pg_catalog.=) any ('{1}'), session_user, array(select 1), '{}'::pg_catalog.text[], case when true then 1 end
      from pg_catalog.pg_class c join pg_catalog.pg_type t on t.oid operator(pg_catalog.=) c.oid where exists (select 1) group by x order by 1`;
    expect(unqualified(text)).toEqual([]);
  });
});

/** SQL for a human to review, or to run himself: test/unit/changes/installation.test.ts looks at its names. */
const SHOWN: ReadonlySet<string> = new Set([
  'changes/installation.ts',
  'changes/installation-check.ts',
  'changes/notify-triggers.ts',
  'changes/table-check.ts',
]);

interface Literal {
  /** Without what is put into it. */
  readonly text: string;
  readonly pieces: readonly string[];
}

/** Sources wrap lines that are sent as one. */
const onOneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();
const sent = onOneLine(Object.values({ ...ownStatements, ...demoStatements }).join('\n'));

/** What is wrong with the SQL in a source file. A piece of a statement is checked as part of one that is sent. */
function complaints(file: string, source: ts.SourceFile): string[] {
  const schemas = file.startsWith('cli/demo/') ? ['public'] : [];
  return sqlIn(source).flatMap(({ text, pieces }) => {
    const isKnown = pieces.every((piece) => sent.includes(onOneLine(piece)));
    if (parses(text) && (pieces.length === 1 || isKnown || !CATALOG_NAME.test(text)))
      return unqualified(text, schemas).map((what) => `${file}: ${what} in: ${text}`);
    return isKnown ? [] : [`${file}: not known to own-statements.ts: ${text}`];
  });
}

/** How a statement of the library's own begins that is put together, so that it cannot be read by itself. */
const BEGINNING =
  /^\s*\(?\s*(select|with \w+ as|with recursive|values \(|insert into|update \S+ set|delete from|merge into|create|alter|drop|set (local|session|transaction)|set \w+ (=|to)|reset \w+|begin|rollback|savepoint|prepare|execute|deallocate|declare|copy|call|listen(?!:)|unlisten|notify|lock table|truncate)\b/;
const CATALOG_NAME = /\bpg_catalog\.|\boperator\s*\(|\bpg_\w+\(|\b(from|join)\s+pg_/i;

/** Every text that looks like SQL. */
function sqlIn(source: ts.SourceFile): Literal[] {
  const found: Literal[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    const pieces = ts.isStringLiteralLike(node)
      ? [node.text]
      : ts.isTemplateExpression(node)
        ? [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)]
        : [];
    const text = pieces.join('');
    // One word alone is the name of something else.
    const isWord = /^\w+$/.test(text) && !parses(text);
    if ((BEGINNING.test(text) && !isWord) || CATALOG_NAME.test(text) || (/\s/.test(text.trim()) && parses(text)))
      found.push({ text, pieces });
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function sourcesIn(folder: string): { readonly file: string; readonly source: ts.SourceFile }[] {
  const root = fileURLToPath(new URL(`../../${folder}/`, import.meta.url));
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.ts'))
    .sort()
    .map((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      return { file, source: ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true) };
    });
}
