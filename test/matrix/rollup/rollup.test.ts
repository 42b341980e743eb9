/** What Rollup makes of an app, alone in a folder: reads go to replicas. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { APP, ON_REPLICAS, PackedApp } from '../../compat/packed-app.js';

const BUILD = `
  import { readFileSync } from 'node:fs';
  import commonjs from '@rollup/plugin-commonjs';
  import json from '@rollup/plugin-json';
  import { nodeResolve } from '@rollup/plugin-node-resolve';
  import { rollup } from 'rollup';
  const output = JSON.parse(readFileSync('output.json', 'utf8'));
  const bundle = await rollup({
    input: 'main.mjs',
    plugins: [nodeResolve({ preferBuiltins: true, exportConditions: ['node'] }), commonjs({ ignoreDynamicRequires: true }), json()],
  });
  await bundle.write(output);`;

describe('Rollup', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  it.each([
    ['ES modules', 'main.mjs', { dir: 'out', format: 'es', entryFileNames: '[name].mjs' }],
    ['one ES module', 'main.mjs', { file: 'out/main.mjs', format: 'es', inlineDynamicImports: true }],
    ['CommonJS', 'main.cjs', { dir: 'out', format: 'cjs', entryFileNames: '[name].cjs' }],
  ])('makes %s', async (_, made, output) => {
    await using app = await PackedApp.write(import.meta.url, servers, {
      ...APP,
      'output.json': JSON.stringify(output),
      'build.mjs': BUILD,
    });
    await app.node('build.mjs');
    expect(await app.alone('out', made)).toEqual(ON_REPLICAS);
  });
});
