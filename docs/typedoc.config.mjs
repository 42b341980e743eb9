// The API's pages, out of the docstrings: one module for each entry of the package, under the name that users import.
import { readFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);
const json = (name) => JSON.parse(readFileSync(new URL(name, root), 'utf8'));
const { paths } = json('tsconfig.json').compilerOptions;

/** The entries of package.json by the sources that tsconfig.json gives them. */
const sources = Object.keys(json('package.json').exports)
  .filter((entry) => entry !== './package.json')
  .map((entry) => {
    const name = `pg-ladder${entry.slice(1)}`;
    const [source] = paths[name] ?? [];
    if (source === undefined) throw new Error(`tsconfig.json has no source for ${name}`);
    return { name, source };
  });

export const entries = new Map(sources.map(({ name, source }) => [source.replace(/^\.\//, ''), name]));

export default {
  plugin: ['typedoc-plugin-markdown', 'typedoc-vitepress-theme', './scripts/entry-names.mjs'],
  entryPoints: sources.map(({ source }) => new URL(source, root).pathname),
  tsconfig: './tsconfig.api.json',
  out: './reference/api',
  docsRoot: '.',
  readme: 'none',
  name: 'API',
  githubPages: false,
  disableSources: true,
  hideGenerator: true,
  hidePageHeader: true,
  excludePrivate: true,
  excludeInternal: true,
  excludeExternals: true,
  entryFileName: 'index',
  parametersFormat: 'table',
  // npm run check:types does
  skipErrorChecking: true,
};
