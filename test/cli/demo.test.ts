import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { conclusions, table } from '../../src/cli/demo/report.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  args: string[],
  env: NodeJS.ProcessEnv = {},
): { child: ChildProcess; ended: Promise<Ended>; said: () => string } {
  const command = ['--import', 'tsx', 'src/cli/main.ts', ...args];
  const child = spawn(process.execPath, command, { cwd: root, env: { ...process.env, ...env } });
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
    readP99Millis: number;
    primaryQueryCount: number;
  }[];
}

describe('pg-ladder demo', () => {
  it('shows four strategies on real servers: pg-ladder is never stale and reads from replicas, round robin is stale', async () => {
    const { code, stdout, stderr } = await run(['demo', '--seconds', '2', '--json']);
    expect(stderr).not.toMatch(/warning|error/i);
    expect(code).toBe(0);
    const { seconds, strategies } = JSON.parse(stdout) as Report;
    expect(seconds).toBe(2);
    const [primaryOnly, roundRobin, sticky, ladder] = strategies;
    expect(strategies.map((s) => s.strategy)).toEqual(['primary-only', 'round-robin', 'sticky-window', 'pg-ladder']);
    for (const { readCount, readP99Millis } of strategies) {
      expect(readCount).toBeGreaterThan(100);
      expect(readP99Millis).toBeGreaterThan(0);
    }
    expect(primaryOnly).toMatchObject({ staleCount: 0, replicaShare: 0 });
    expect(roundRobin?.staleCount).toBeGreaterThan(0);
    expect(sticky?.replicaShare).toBeLessThan(0.5);
    expect(ladder?.staleCount).toBe(0);
    expect(ladder?.replicaShare).toBeGreaterThan(0.8);
    expect(ladder?.primaryQueryCount).toBeLessThan(primaryOnly?.primaryQueryCount ?? 0);
  }, 60_000);

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'stops in good order on %s: nothing runs on, and the exit code says why',
    async (signal) => {
      // The servers' directories stand in a place of this test's own, so that what is left there is this run's.
      const place = await mkdtemp(join(tmpdir(), 'pg-ladder-demo-'));
      const { child, ended, said } = start(['demo', '--seconds', '30'], { TMPDIR: place });
      await expect.poll(said, { timeout: 20_000 }).toContain('primary only');
      const servers = await serversOf(child.pid as number);
      expect(servers.length).toBeGreaterThanOrEqual(3);
      child.kill(signal);
      const { code } = await ended;
      expect(code).toBe(signal === 'SIGINT' ? 130 : 143);
      await expect.poll(() => servers.filter(isRunning), { timeout: 5_000 }).toEqual([]);
      await rm(place, { recursive: true, force: true });
    },
    60_000,
  );

  it.each([
    [['demo', '--seconds', '0'], /--seconds.*1 to 60/],
    [['demo', '--replicas', 'two'], /--replicas.*1 to 8/],
    [['demo', '--nonsense'], /--nonsense/],
    [['serve'], /unknown command "serve"/],
    [[], /Usage: pg-ladder/],
  ])('refuses %j with exit code 2 and says what it expects', async (args, message) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it('tells what it takes', async () => {
    expect(await run(['--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('demo') });
    expect(await run(['demo', '--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('--seconds') });
    expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

/** The PostgreSQL servers that a process has started. */
async function serversOf(pid: number): Promise<number[]> {
  const all = await readdir('/proc');
  const children: number[] = [];
  for (const name of all.filter((entry) => /^\d+$/.test(entry))) {
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const [, command, , parent] = /^\d+ \((.*)\) (\S) (\d+)/.exec(stat) ?? [];
    if (command === 'postgres' && Number(parent) === pid) children.push(Number(name));
  }
  return children;
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
  };

  it('says what the figures say, and nothing else', () => {
    const each = (['primary-only', 'round-robin', 'sticky-window', 'pg-ladder'] as const).map((strategy) => ({
      ...figures,
      strategy,
      staleCount: strategy === 'round-robin' ? 50 : 0,
    }));
    expect(table(['naive'], each.slice(1, 2)).split('\n').at(-1)).toMatch(
      /^naive +200 +50 \(25\.0 %\) +95\.0 % +0\.3 ms +12\.3 ms +300$/,
    );
    expect(conclusions(each).join('\n')).toMatch(/round robin 50 \(25\.0 %\) of 200 reads.*pg-ladder none of 200/);
  });
});
