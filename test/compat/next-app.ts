/** A route handler of Next.js over the packed library, as it is built and started without any option for it. */
import { expect } from 'vitest';
import { freePort } from '../../bench/free-port.js';
import type { TestCluster } from '../../src/testing/index.js';
import { ON_REPLICAS, outcomeIn, PackedApp } from './packed-app.js';

const ROUTE = `
  import * as ladder from 'pg-ladder';
  import routed from '../routed.cjs';
  export const dynamic = 'force-dynamic';
  export async function GET() {
    try { return new Response('routed: ' + JSON.stringify(await routed(ladder))); }
    catch (error) { return new Response(String(error.stack), { status: 500 }); }
  }`;
const QUIET = { NEXT_TELEMETRY_DISABLED: '1', NEXT_IGNORE_INCORRECT_LOCKFILE: '1' };

/**
 * Builds it, starts it and asks it.
 * @param test the test's own file
 * @param args of `next build`
 */
export async function expectRouted(
  test: string,
  servers: TestCluster,
  { args = [], options = {} }: { args?: string[]; options?: object },
): Promise<void> {
  await using app = await PackedApp.write(test, servers, {
    'app/route.js': ROUTE,
    'package.json': '{ "private": true }',
    'next.config.mjs': `
      const outputFileTracingRoot = new URL('..', import.meta.url).pathname.replace(/[/]$/, '');
      export default { ...${JSON.stringify(options)}, outputFileTracingRoot };`,
  });
  const next = `${app.packages}/next/dist/bin/next`;
  await app.node(next, ['build', ...args], QUIET);
  const port = await freePort();
  const text =
    'output' in options
      ? await app.answerAlone('.next/standalone', `${app.name}/server.js`, port)
      : await app.answer(app.folder, next, ['start', '--port', String(port)], port);
  expect(outcomeIn(text)).toEqual(ON_REPLICAS);
}
