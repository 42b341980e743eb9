/** A route handler of Next.js 15: reads go to replicas, plain and as the folder that `standalone` makes to be deployed alone. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { expectRouted } from '../../compat/next-app.js';

describe('Next.js 15', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  it.each([
    ['with pg-ladder in the bundle', {}],
    ['with pg-ladder beside it', { options: { serverExternalPackages: ['pg-ladder'] } }],
    ['as standalone output', { options: { output: 'standalone' } }],
    [
      'as standalone output, with pg-ladder beside it',
      { options: { output: 'standalone', serverExternalPackages: ['pg-ladder'] } },
    ],
    ['by Turbopack', { args: ['--turbopack'] }],
  ])('serves a route handler %s', (_, form) => expectRouted(import.meta.url, servers, form));
});
