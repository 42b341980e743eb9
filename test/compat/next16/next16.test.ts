/** A route handler of Next.js 16: reads go to replicas, plain and as the folder that `standalone` makes to be deployed alone. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { expectRouted } from '../next-app.js';

describe('Next.js 16', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  const forms = [
    ['as standalone output', { options: { output: 'standalone' } }],
    ['with pg-ladder in the bundle', {}],
    ['with pg-ladder beside it', { options: { serverExternalPackages: ['pg-ladder'] } }],
    [
      'as standalone output, with pg-ladder beside it',
      { options: { output: 'standalone', serverExternalPackages: ['pg-ladder'] } },
    ],
    ['by webpack', { args: ['--webpack'] }],
  ] as const;
  // One of them stands for all until `npm run test:matrix`.
  const tried = process.env['MATRIX'] === '1' ? forms : forms.slice(0, 1);
  it.each(tried)('serves a route handler %s', (_, form) => expectRouted(import.meta.url, servers, form));
});
