/** What webpack makes of an app, alone in a folder: reads go to replicas. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { APP, ON_REPLICAS, PackedApp } from '../../compat/packed-app.js';

const BUILD = `
  import { readFileSync } from 'node:fs';
  import webpack from 'webpack';
  const options = JSON.parse(readFileSync('options.json', 'utf8'));
  const stats = await new Promise((resolve, reject) =>
    webpack({ context: process.cwd(), target: 'node20', ...options }, (error, stats) => (error ? reject(error) : resolve(stats))),
  );
  if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }));`;
const CJS = { mode: 'production', output: { filename: 'main.cjs' } };
const ESM = {
  mode: 'production',
  experiments: { outputModule: true },
  output: { module: true, filename: 'main.mjs', chunkFormat: 'module' },
};

describe('webpack', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  it.each([
    ['CommonJS', './main.cjs', CJS],
    ['CommonJS out of ES modules', './main.mjs', CJS],
    ['CommonJS that is not minified', './main.mjs', { ...CJS, mode: 'development' }],
    ['ES modules', './main.mjs', ESM],
  ])('makes %s', async (_, entry, options) => {
    await using app = await PackedApp.write(import.meta.url, servers, {
      ...APP,
      'options.json': JSON.stringify({ entry, ...options }),
      'build.mjs': BUILD,
    });
    await app.node('build.mjs');
    expect(await app.alone('dist', options.output.filename)).toEqual(ON_REPLICAS);
  });
});
