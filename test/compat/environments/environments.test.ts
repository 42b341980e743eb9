/** Test environments that take the place of what Node has in the global places: browsers (jsdom, happy-dom) and a time that is played (Sinon). */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Window } from 'happy-dom';
import { JSDOM } from 'jsdom';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const later = setTimeout;
const numbered = { setTimeout: (run: () => void, millis?: number) => Number(later(run, millis)) };
const browsers: Record<string, () => object> = {
  // Its timers lean on Node's in the global places: there they are stood for by what they return.
  jsdom: () => Object.assign(Object.create(new JSDOM('', { url: 'http://localhost/' }).window), numbered),
  'happy-dom': () => new Window({ url: 'http://localhost/' }),
};
/** What Jest's and vitest's environments take from a browser, as far as a library on a server meets it. */
const NAMES = [
  ...['AbortController', 'AbortSignal', 'Event', 'EventTarget', 'DOMException', 'URL', 'Headers', 'Blob'],
  ...['setTimeout', 'performance'],
] as const;

let servers: TestCluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
});
afterAll(() => servers.stop());
afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

describe.each(Object.keys(browsers))('under %s', (browser) => {
  it.each(['after', 'before'])('set up %s the library: timeouts, signals, pools, close()', async (when) => {
    const window = browsers[browser]?.() as Record<string, unknown>;
    const setUp = (): void => {
      for (const name of NAMES) if (window[name] !== undefined) vi.stubGlobal(name, window[name]);
    };
    if (when === 'before') setUp();
    vi.resetModules();
    const { createCluster } = await import('../../../src/index.js');
    const cluster = createCluster({
      primary: servers.primary.connectionString,
      replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
      discovery: () => [],
    });
    await cluster.ready();
    if (when === 'after') setUp();

    await cluster.write('create table if not exists seen (v int)');
    await cluster.session(async () => {
      await cluster.write('insert into seen values (1)', [], { timeoutMillis: 20_000 });
      expect((await cluster.read('select v from seen', [], { timeoutMillis: 20_000 })).rows).not.toEqual([]);
    });
    const late = cluster.read('select pg_sleep(20)', [], { timeoutMillis: 50 });
    await expect(late).rejects.toMatchObject({ code: 'LADDER_TIMEOUT' });
    const controller = new AbortController();
    expect(controller.constructor).toBe(window['AbortController']);
    const reason = new Error('the user has left');
    const running = expect(cluster.read('select pg_sleep(20)', [], { signal: controller.signal })).rejects.toBe(reason);
    await cluster.read('select 1');
    controller.abort(reason);
    await running;
    const aborted = expect(cluster.read('select 1', [], { signal: controller.signal })).rejects;
    await aborted.toBe(reason);
    const pool = cluster.pool();
    await pool.query('select 1');
    const client = await pool.connect();
    await client.query('select v from seen');
    client.release();
    await cluster.close();
    await (window['happyDOM'] as { close(): Promise<void> } | undefined)?.close();
  });
});

describe('under Sinon', () => {
  beforeAll(async () => {
    const { createCluster } = await import('../../../src/index.js');
    await using cluster = createCluster(servers.primary.connectionString);
    await cluster.write('create table played (id int primary key, v int)');
    await cluster.write('insert into played values (1, 0)');
    await servers.replicas[0]?.waitForReplay();
  });

  it.each(['import', 'require'])('loaded by %s, before or after the time is played', async (how) => {
    for (const when of ['before', 'after']) {
      const urls = servers.nodes.map(({ connectionString }) => connectionString);
      const args = ['--import', 'tsx', 'played-time.mjs', how, when, ...urls];
      const { stdout } = await run(process.execPath, args, { cwd: here, timeout: 30_000 });
      expect(stdout).toBe('done');
    }
  });
});
