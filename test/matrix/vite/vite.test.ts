/** What Vite makes of a server's code with all packages in it (`noExternal`), alone in a folder: reads go to replicas. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { APP, ON_REPLICAS, PackedApp } from '../../compat/packed-app.js';

const BUILD = `
  import { build } from 'vite';
  await build({ configFile: false, build: { ssr: 'main.mjs', minify: process.argv[3] === 'minified' }, ssr: { noExternal: JSON.parse(process.argv[2]) } });`;

describe('Vite', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  it.each(['minified', 'plain'])('makes a server with all packages in it, %s', async (size) => {
    await using app = await PackedApp.write(import.meta.url, servers, { ...APP, 'build.mjs': BUILD });
    await app.node('build.mjs', ['true', size]);
    expect(await app.alone('dist', 'main.mjs')).toEqual(ON_REPLICAS);
  });

  it('makes a server with pg-ladder in it, and pg beside it', async () => {
    await using app = await PackedApp.write(import.meta.url, servers, { ...APP, 'build.mjs': BUILD });
    await app.node('build.mjs', ['["pg-ladder"]', 'plain']);
    expect(await app.outcome('dist/main.mjs')).toEqual(ON_REPLICAS);
  });
});
