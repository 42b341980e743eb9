import { type ChildProcess, execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { changesOptions } from '../../src/cli/changes-options.js';
import { UsageError } from '../../src/cli/usage.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { until } from '../behaviour/fixture.js';
import { open, query } from '../testing/query.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  args: string[],
  env: NodeJS.ProcessEnv = {},
): { readonly process: ChildProcess; readonly ended: Promise<Ended> } {
  const command = ['--import', 'tsx', 'src/cli/main.ts', 'changes', ...args];
  const { DATABASE_URL: _, ...inherited } = process.env;
  let child: ChildProcess | undefined;
  const ended = new Promise<Ended>((resolve) => {
    child = execFile(
      process.execPath,
      command,
      { cwd: root, env: { ...inherited, ...env } },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
  return { process: child as unknown as ChildProcess, ended };
}

const run = (args: string[], env?: NodeJS.ProcessEnv): Promise<Ended> => start(args, env).ended;

describe('pg-ladder changes', () => {
  let servers: TestCluster;
  let url: string;
  let ownerUrl: string;

  const count = (what: string): Promise<unknown> => query(servers.primary, `select count(*)::int from ${what}`);

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1, settings: { wal_level: 'logical' } });
    const at = servers.nodes
      .toReversed()
      .map(({ host, port }) => `${host}:${port}`)
      .join(',');
    url = `postgres://postgres:${servers.primary.password}@${at}/postgres`;
    ownerUrl = `postgres://app:s3cret@${at}/postgres`;
    await query(servers.primary, "create role app login replication password 's3cret'");
    await query(servers.primary, 'grant create on database postgres to app');
    await query(servers.primary, 'grant create on schema public to app');
    const owner = {
      connectionString: `postgres://app:s3cret@${servers.primary.host}:${servers.primary.port}/postgres`,
    };
    await query(owner, 'create table items (id int primary key)');
    await query(owner, 'create table bare (id int)');
    await query(servers.primary, `create table "\u001b]0;owned\u0007 ""x""" (id int)`);
  }, 60_000);
  afterAll(() => servers.stop());
  beforeEach(async () => {
    await query(servers.primary, 'drop publication if exists pg_ladder, mine');
  });

  it('installs on the primary of several servers, shows what it runs, finds nothing missing, and takes all back', async () => {
    const installed = await run(['install', '--tables', 'items', '--url', url]);
    expect(installed).toMatchObject({ code: 0, stderr: '' });
    expect(installed.stdout).toMatch(
      /^begin .*\n.*lock_timeout.*\ncreate publication "pg_ladder" for table "public"."items" with/,
    );
    expect(installed.stdout).toContain('create event trigger pg_ladder_drops on sql_drop');
    const checked = await run(['check', '--tables', 'items', '--json'], { DATABASE_URL: url });
    expect(checked.code).toBe(0);
    const { isWell, findings } = JSON.parse(checked.stdout) as { isWell: boolean; findings: { check: string }[] };
    expect(isWell).toBe(true);
    expect(findings.filter(({ check }) => check !== 'old_transaction')).toMatchObject([
      { check: 'max_slot_wal_keep_size' },
    ]);
    expect(await run(['remove', '--url', url])).toMatchObject({ code: 0, stderr: '' });
    expect([await count('pg_publication'), await count('pg_event_trigger')]).toEqual([0, 0]);
  }, 90_000);

  it('goes on without event triggers for a role that is no superuser, and says what that means', async () => {
    const { code, stdout } = await run(['install', '--tables', 'items', '--publication', 'mine', '--url', ownerUrl]);
    expect(code).toBe(0);
    expect(stdout).toContain('This role may not create event triggers');
    expect([await count('pg_publication'), await count('pg_event_trigger')]).toEqual([1, 0]);
    expect(await count("pg_namespace where nspname = 'pgladder'")).toBe(0);
    const checked = await run(['check', '--publication', 'mine', '--url', ownerUrl]);
    expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining('warning event_triggers: ')]);
    expect(await run(['remove', '--publication', 'mine', '--url', ownerUrl])).toMatchObject({ code: 0 });
    expect(await count('pg_publication')).toBe(0);
  }, 90_000);

  it('refuses tables without replica identity before it runs anything, with the statement that mends them', async () => {
    const refused = await run(['install', '--tables', 'items,bare', '--url', url]);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('mend: alter table "public"."bare" add primary key');
    expect(await count('pg_publication')).toBe(0);
  }, 90_000);

  it('exits with 1 while something must be mended', async () => {
    const { code, stdout } = await run(['check', '--tables', 'items', '--url', url]);
    expect(code).toBe(1);
    expect(stdout).toContain(
      'the publication "pg_ladder" does not exist\n  mend: pg-ladder changes install --tables public.items\n',
    );
  }, 90_000);

  it('shows the SQL and runs nothing with --print, with a server and without one', async () => {
    for (const args of [['--url', url], []]) {
      const { code, stdout } = await run(['install', '--tables', 'items', '--print', ...args]);
      expect([code, stdout]).toEqual([
        0,
        expect.stringContaining('create publication "pg_ladder" for table "public"."items"'),
      ]);
      expect((await run(['remove', '--print', ...args])).stdout).toContain('drop publication if exists "pg_ladder"');
    }
    expect(await count('pg_publication')).toBe(0);
    const seen = await run(['install', '--tables', 'items', '--print']);
    const client = await open(servers.primary);
    await client.query(seen.stdout);
    await client.end();
    expect(await count('pg_event_trigger')).toBe(2);
    await run(['remove', '--url', url]);
  }, 90_000);

  it('rolls everything back when it is interrupted', async () => {
    const blocker = await open(servers.primary);
    await blocker.query('begin; lock table items in share update exclusive mode');
    const { process: child, ended } = start(['install', '--tables', 'items', '--url', url]);
    await until(
      'install waits',
      async () => (await count("pg_locks where not granted and relation = 'items'::regclass")) === 1,
    );
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130 });
    await blocker.query('rollback');
    await blocker.end();
    await until(
      'its session is gone',
      async () => (await count("pg_stat_activity where application_name = 'pg-ladder changes'")) === 0,
    );
    expect([await count('pg_publication'), await count('pg_event_trigger')]).toEqual([0, 0]);
  }, 90_000);

  it('shows names that others have made up without what a terminal obeys', async () => {
    await query(servers.primary, 'create publication pg_ladder for all tables');
    await query(servers.primary, 'drop publication pg_ladder');
    await query(servers.primary, `create publication pg_ladder for table "\u001b]0;owned\u0007 ""x"""`);
    for (const format of [[], ['--json']]) {
      const { code, stdout } = await run(['check', '--url', url, ...format]);
      expect([code, stdout]).toEqual([1, expect.stringContaining('replica_identity')]);
      expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }
  }, 90_000);

  it.each<[args: string[], words: string]>([
    [[], 'expected one of install, remove, check'],
    [['toggle'], 'expected one of install, remove, check'],
    [['install', '--url', 'postgres://app:s3cret@h/shop'], 'expected --tables'],
    [['install', '--tables', 'a.b.c', '--url', 'postgres://app:s3cret@h/shop'], 'at most a schema'],
    [['check'], 'expected --url'],
    [['remove', '--tables', 'a', '--url', 'postgres://app:s3cret@h/shop'], '--tables has no meaning'],
    [['check', '--publication', '', '--url', 'postgres://app:s3cret@h/shop'], 'a name has 1 to 63 bytes'],
  ])('says what is wrong with %j', (args, words) => {
    const read = () => changesOptions(args, {});
    expect(read).toThrow(UsageError);
    expect(read).toThrow(words);
    expect(read).not.toThrow('s3cret');
  });

  it('exits with 2 for a wrong command line', async () => {
    expect(await run([])).toMatchObject({ code: 2, stderr: expect.stringContaining('See pg-ladder --help') });
  });

  it('says what is wrong with a server, without its password', async () => {
    for (const gone of [
      'postgres://app:s3cret@127.0.0.1:1/shop',
      'postgres:/app:s3cret',
      'postgres://app:s3cret@%/shop',
    ]) {
      const { code, stdout, stderr } = await run(['check', '--url', gone]);
      expect(code).toBe(1);
      expect(stdout + stderr).not.toContain('s3cret');
    }
    const wrong = await run(['check', '--url', ownerUrl.replace('s3cret', 'oth3r')]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).not.toContain('oth3r');
  }, 90_000);

  it('installs triggers that notify, with --notify, and takes them back', async () => {
    await query(servers.primary, 'create table notes (id int) partition by range (id)');
    await query(servers.primary, 'create table notes_low partition of notes for values from (0) to (9)');
    const triggers = () =>
      count("pg_trigger where tgname = 'pg_ladder_changes' and tgenabled = 'A' and tgparentid = 0");
    expect((await run(['install', '--url', url, '--notify', '--tables', 'notes', '--print'])).stdout).toContain(
      'create trigger pg_ladder_changes after insert or update or delete or truncate on "public"."notes_low"',
    );
    expect(await triggers()).toBe(0);
    expect(await run(['install', '--url', url, '--notify', '--tables', 'notes'])).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(await triggers()).toBe(2);
    expect(await run(['check', '--url', url, '--notify', '--tables', 'notes'])).toMatchObject({
      code: 0,
      stdout: 'Nothing is missing.\n',
    });
    await query(servers.primary, 'alter table notes_low disable trigger pg_ladder_changes');
    expect(await run(['check', '--url', url, '--notify', '--tables', 'notes'])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('mend: pg-ladder changes install --notify --tables public.notes'),
    });
    const { code, stderr } = await run(['install', '--url', url, '--notify', '--tables', 'nothing']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('public.nothing')]);
    expect(await run(['remove', '--url', url])).toMatchObject({ code: 0 });
    expect(await triggers()).toBe(0);
    expect(await count("pg_namespace where nspname = 'pgladder'")).toBe(0);
  });
});
