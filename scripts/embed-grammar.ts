// The build's part of src/sql/grammar-program.ts: puts the WebAssembly of libpg-query into the module that loads it.
// The package's own loader looks for the file beside itself, by `__dirname` and `require`: neither leads there in a
// bundle, and no bundler knows of the file. So the module brings its bytes, and takes nothing but Node's modules.
import { readFileSync } from 'node:fs';
import { brotliCompressSync } from 'node:zlib';
import type { Options } from 'tsup';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

const MODULE = './grammar-program';

/** It takes seconds, and both formats ask for it. */
const compressed = new Map<string, string>();

function compress(path: string): string {
  const known = compressed.get(path);
  if (known !== undefined) return known;
  const text = brotliCompressSync(readFileSync(path)).toString('base64');
  compressed.set(path, text);
  return text;
}

/** For the build of that module. */
export const embeddedGrammar: Plugin = {
  name: 'embedded-grammar',
  setup(build) {
    build.onLoad({ filter: /libpg-query[\\/]wasm[\\/]libpg-query\.js$/ }, ({ path }) => {
      const loader = readFileSync(path, 'utf8');
      const wasm = compress(path.replace(/js$/, 'wasm'));
      const contents = `/*! libpg-query, unchanged: its licences stand in THIRD-PARTY-NOTICES.md */
        import * as crypto from 'node:crypto';
        import * as fs from 'node:fs';
        import { promisify } from 'node:util';
        import { brotliDecompress } from 'node:zlib';
        const modules = { 'node:crypto': crypto, 'node:fs': fs };
        const load = ((require, __dirname, __filename, exports, module, define) => {
          ${loader}
          return PgQueryModule;
        })((name) => modules[name], '', '');
        export default async function (options) {
          const bytes = await promisify(brotliDecompress)(Buffer.from('${wasm}', 'base64'));
          const program = await WebAssembly.compile(bytes);
          // What is thrown within rejects.
          const instantiateWasm = (imports, done) => done(new WebAssembly.Instance(program, imports));
          return load({ ...options, instantiateWasm });
        }`;
      return { contents, loader: 'js' };
    });
  },
};

/** For all that loads it: it stays a file of its own, which nobody reads who does not ask for it. */
export const grammarApart: Plugin = {
  name: 'grammar-apart',
  setup(build) {
    const suffix = build.initialOptions.format === 'cjs' ? 'cjs' : 'js';
    build.onResolve({ filter: /^\.\/grammar-program\.js$/ }, () => ({ path: `${MODULE}.${suffix}`, external: true }));
  },
};
