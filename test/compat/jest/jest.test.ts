/** Jest has no `import()` in CommonJS: reads go to replicas all the same, without any option. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { ON_REPLICAS, PackedApp } from '../packed-app.js';

const ROUTED = `
  test('reads go to replicas', async () => {
    console.log('routed: ' + JSON.stringify(await routed(ladder)));
  }, 30_000);`;

describe('Jest', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  it('runs it in CommonJS, as it does by default', async () => {
    await using app = await PackedApp.write(import.meta.url, servers, {
      'package.json': '{}',
      'app.test.js': `const ladder = require('pg-ladder'); const routed = require('./routed.cjs'); ${ROUTED}`,
    });
    expect(await app.outcome(`${app.packages}/jest/bin/jest.js`)).toEqual(ON_REPLICAS);
  });

  it('runs it in ES modules', async () => {
    await using app = await PackedApp.write(import.meta.url, servers, {
      'package.json': '{ "type": "module" }',
      'app.test.js': `import * as ladder from 'pg-ladder'; import routed from './routed.cjs'; ${ROUTED}`,
    });
    const env = { NODE_OPTIONS: '--experimental-vm-modules' };
    expect(await app.outcome(`${app.packages}/jest/bin/jest.js`, [], env)).toEqual(ON_REPLICAS);
  });
});
