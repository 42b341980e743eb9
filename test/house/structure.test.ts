/** How large a file and a class may grow. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const MOST_LINES = 300;
const MOST_MEMBERS = 25;

/** Longer by their nature: generated, lists of data, and one suite for several tools. */
const TABLES: Record<string, string> = {
  'src/sql/built-ins.ts': 'generated from the servers’ own catalogues',
  'test/corpus/statements.ts': 'the corpus: one statement a line, with what is expected of it',
  'test/differential/statements.ts': 'the grammar of the statements that are drawn',
  'test/differential/grammar.ts': 'the grammar of the programs that are drawn',
  'test/differential/found-faults.test.ts': 'the programs that have found a fault, as they were drawn',
  'test/compat/redis/redis.test.ts': 'every client of Redis through the same promises',
};

const files = ['src', 'test'].flatMap((folder) =>
  readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter((name) => /\.(ts|mjs|cjs)$/.test(name) && !/node_modules|\/\.app-|\/dist\//.test(name)),
);
const textOf = (file: string): string => readFileSync(`${root}${file}`, 'utf8');

function lineCount(text: string): number {
  return text.trimEnd().split('\n').length;
}

/** Classes with how many members everybody may use: an accessor's two halves are one, and the constructor is none. */
function publicCounts(file: string, text: string): [name: string, count: number][] {
  const counts: [string, number][] = [];
  const isHidden = (node: ts.Declaration): boolean =>
    (ts.getCombinedModifierFlags(node) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) !== 0;
  const visit = (node: ts.Node): void => {
    if (ts.isClassLike(node)) {
      const names = new Set<string>();
      for (const member of node.members) {
        if (ts.isConstructorDeclaration(member)) {
          const own = member.parameters.filter((each) => ts.isParameterPropertyDeclaration(each, member));
          for (const each of own) if (!isHidden(each)) names.add(each.name.getText());
        } else if (member.name !== undefined && !ts.isPrivateIdentifier(member.name) && !isHidden(member)) {
          names.add(member.name.getText());
        }
      }
      counts.push([`${file} ${node.name?.text ?? 'a class without a name'}`, names.size]);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true));
  return counts;
}

describe('the structure', () => {
  it('has no file over 300 lines but tables', () => {
    const long = files.filter((file) => lineCount(textOf(file)) > MOST_LINES);
    expect(long.sort()).toEqual(Object.keys(TABLES).sort());
  });

  it('has no class with more than 25 public members', () => {
    const wide = files
      .filter((file) => file.startsWith('src/'))
      .flatMap((file) => publicCounts(file, textOf(file)))
      .filter(([, count]) => count > MOST_MEMBERS);
    expect(wide).toEqual([]);
  });

  it('counts what everybody may use of a class', () => {
    const text = `class A {
      static one = 1; two = 2; readonly three = 3; #four = 4; private five = 5; protected six = 6;
      constructor(readonly seven: number, private readonly eight: number, nine: number) {}
      get ten() { return 10; } set ten(value) {} eleven() {} #twelve() {} private thirteen() {} static { }
    }`;
    expect(publicCounts('a.ts', text)).toEqual([['a.ts A', 6]]);
  });
});
