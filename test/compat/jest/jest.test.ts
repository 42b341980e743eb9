/** Jest runs CommonJS without `import()`, in a realm with classes of its own: reads go to replicas, and lost servers are known as lost, all the same. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { PackedApp } from '../packed-app.js';

const ROUTED = `
  test('reads go to replicas', async () => {
    expect(await routed(ladder)).toEqual({
      class: 'read', because: expect.any(String), query: 'r1', stream: 'r1', poolQuery: 'r1', poolClient: 'r1', counts: [1, 1, 1, 1], warnings: [],
    });
  }, 30_000);`;

/** Errors of sockets are of another realm than the test's own. */
const LOST = `
  test('a read whose connection cannot be made runs elsewhere', async () => {
    const server = require('node:net').createServer((socket) => socket.destroy());
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = server.address().port;
    const cluster = ladder.createCluster({
      primary: process.env.PRIMARY_URL,
      replicas: [{ name: 'r1', connectionString: process.env.REPLICA_URL }],
    });
    await cluster.close();
    server.close();
  });`;

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
    expect(await app.node(`${app.packages}/jest/bin/jest.js`)).toContain('1 passed');
  });

  it('runs it in ES modules', async () => {
    await using app = await PackedApp.write(import.meta.url, servers, {
      'package.json': '{ "type": "module" }',
      'app.test.js': `import * as ladder from 'pg-ladder'; import routed from './routed.cjs'; ${ROUTED}`,
    });
    const env = { NODE_OPTIONS: '--experimental-vm-modules' };
    expect(await app.node(`${app.packages}/jest/bin/jest.js`, [], env)).toContain('1 passed');
  });
});
