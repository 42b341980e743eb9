// Where the packages are that the blocks of the docs import: in the root's node_modules, in those of test/compat, or
// in docs' own. Also a hook of Node's that finds them for blocks that run.
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What `prisma generate` makes of the docs' schema. */
const prisma = join(root, 'test/docs/prisma/dist');

/** Folders with a node_modules of their own, the root's first. */
const homes = [
  root,
  join(root, 'docs'),
  ...readdirSync(join(root, 'test/compat'))
    .map((name) => join(root, 'test/compat', name))
    .filter((folder) => existsSync(join(folder, 'package.json'))),
];

const packageOf = (specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
const typesOf = (name) => `@types/${name.replace(/^@(.*)\//, '$1__')}`;

/**
 * The folders from which `specifier` can be imported, the best first.
 * @param {string} specifier
 * @returns {string[]}
 */
export function homesOf(specifier) {
  const name = packageOf(specifier);
  const has = (folder, what) => existsSync(join(folder, 'node_modules', what));
  return homes.filter((folder) => has(folder, name) || has(folder, typesOf(name)));
}

/** Node's hook: a package is looked for in the folders above, and what a block calls its own beside it, or on the stage. */
export async function resolve(specifier, context, next) {
  const { BLOCK_FOLDER = '-', BLOCK_STAGE } = process.env;
  const isFrom = (folder) => context.parentURL?.startsWith(pathToFileURL(folder).href) ?? false;
  const isFromBlock = isFrom(BLOCK_FOLDER);
  if (!(isFromBlock || isFrom(prisma)) || /^(node|file|data):/.test(specifier)) return next(specifier, context);
  if (specifier.startsWith('.')) {
    if (!isFromBlock) return next(specifier, context);
    const own = join(BLOCK_FOLDER, basename(specifier).replace(/\.js$/, '.mts'));
    const file = specifier.includes('generated') ? join(prisma, 'client.ts') : existsSync(own) ? own : BLOCK_STAGE;
    return next(pathToFileURL(file).href, context);
  }
  const [home] = homesOf(specifier);
  if (home === undefined || /^pg-ladder(\/|$)/.test(specifier)) return next(specifier, context);
  return next(specifier, { ...context, parentURL: pathToFileURL(join(home, 'package.json')).href });
}
