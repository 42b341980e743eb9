import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { query } from '../testing/query.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

function run(args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const command = ['--import', 'tsx', 'src/cli/main.ts', 'explain', ...args];
    execFile(process.execPath, command, { cwd: root, env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

describe('pg-ladder explain', () => {
  let servers: TestCluster;
  let url: string;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    url = `postgres://postgres:${servers.primary.password}@${servers.nodes.map(({ host, port }) => `${host}:${port}`).join(',')}/postgres`;
  });
  afterAll(() => servers.stop());

  it('tells what a statement is, where it would go, and how the replicas stand', async () => {
    const { code, stdout } = await run(['select count(*) from pg_class', '--url', url]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^class +read$/m);
    expect(stdout).toMatch(/^digest +18:[0-9a-f]{16}$/m);
    expect(stdout).toMatch(/^touches +pg_catalog\.pg_class \(catalog\)$/m);
    expect(stdout).toMatch(/^repeats +scoped: pg_catalog\.pg_class is a catalogue$/m);
    expect(stdout).toMatch(/^goes to +127\.0\.0\.1:\d+ \(replica\), balanced$/m);
    expect(stdout).toMatch(/^127\.0\.0\.1:\d+ +fresh, live, at /m);
  });

  it('says what decided', async () => {
    const { stdout } = await run(["select nextval('s')", '--json'], { DATABASE_URL: url });
    expect(JSON.parse(stdout)).toMatchObject({
      class: 'write',
      because: 'nextval() needs the primary',
      role: 'primary',
    });
  });

  it('shows names that others have made up without what a terminal obeys, as text and as JSON', async () => {
    const name = '"f\u001b]0;owned\u0007\u009b2J\u202e"';
    await query(servers.primary, `create function ${name}() returns int language sql volatile as 'select 1'`);
    await query(
      servers.primary,
      `create function g() returns int language plpgsql as $$ begin return ${name}(); end $$`,
    );
    await query(servers.primary, `create view innocent as select g(), ${name}()`);
    for (const format of [[], ['--json']]) {
      const { code, stdout } = await run(['select * from innocent', '--url', url, ...format]);
      expect([code, stdout]).toEqual([0, expect.stringMatching(/write/)]);
      expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }
    const { stderr } = await run(['--no\u001b[2J', '--url', url]);
    expect(stderr.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  }, 90_000);

  it('says what is missing, and what is wrong with a server, without its password', async () => {
    expect(await run([], { DATABASE_URL: url })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('one statement'),
    });
    expect(await run(['select 1'], { DATABASE_URL: '' })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--url'),
    });
    const gone = await run(['select 1', '--url', 'postgres://app:s3cret@127.0.0.1:1/shop']);
    expect(gone.code).toBe(1);
    expect(gone.stderr).toContain('does not answer');
    expect(gone.stderr).not.toContain('s3cret');
  }, 90_000);
});
