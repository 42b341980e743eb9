/** What esbuild makes of an app, alone in a folder: reads go to replicas, with no file beside the bundle. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { APP, ON_REPLICAS, PackedApp } from '../packed-app.js';

const CJS = { outfile: 'out/main.cjs' };
/** pg is CommonJS, and asks for Node's modules by require. */
const REQUIRE = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';
const ESM = { format: 'esm', banner: { js: REQUIRE }, outdir: 'out', outExtension: { '.js': '.mjs' } };

describe('esbuild', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  it.each([
    ['one file of CommonJS', 'main.cjs', 'main.cjs', CJS],
    ['CommonJS out of ES modules', 'main.mjs', 'main.cjs', CJS],
    ['one minified file', 'main.cjs', 'main.cjs', { ...CJS, minify: true }],
    ['one ES module', 'main.mjs', 'main.mjs', ESM],
    ['ES modules that are split', 'main.mjs', 'main.mjs', { ...ESM, splitting: true }],
  ])('makes %s', async (_, entry, made, options) => {
    const all = { entryPoints: [entry], bundle: true, platform: 'node', ...options };
    await using app = await PackedApp.write(import.meta.url, servers, {
      ...APP,
      'build.mjs': `import { build } from 'esbuild'; await build(${JSON.stringify(all)});`,
    });
    await app.node('build.mjs');
    expect(await app.alone('out', made)).toEqual(ON_REPLICAS);
  });
});
