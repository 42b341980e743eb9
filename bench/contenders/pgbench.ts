/**
 * pgbench with prepared statements: what the server itself can do, with next to no client. Its rounds take whole seconds, which it counts in, and at
 * least one: with a quarter of that, the first statements of its fresh backends would cost it a fifth.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGBENCH_SCRIPTS } from '../statements.js';
import type { WorkName } from '../works.js';
import type { PgbenchSpec, Servers } from './access.js';
import type { Contender, Sample, Task } from './contender.js';

export type PgbenchWork = keyof typeof PGBENCH_SCRIPTS;

export class Pgbench implements Contender {
  readonly name: string;
  readonly #threads: number;
  readonly #binary: string;
  readonly #servers: Servers;
  #folder = '';
  #task: Task = { work: 'point', callers: 1 };
  #process: ChildProcess | undefined;

  constructor(binary: string, { name, threads }: PgbenchSpec, servers: Servers) {
    this.name = name;
    this.#threads = threads;
    this.#binary = binary;
    this.#servers = servers;
  }

  /** Whether it can do that work: it looks at no answer, so that whatever must be judged is not for it. */
  static does(work: WorkName): work is PgbenchWork {
    return work in PGBENCH_SCRIPTS;
  }

  async open(task: Task): Promise<void> {
    if (!Pgbench.does(task.work)) throw new Error(`pgbench has no script for ${task.work}`);
    this.#task = task;
    if (this.#folder === '') this.#folder = mkdtempSync(join(tmpdir(), 'pg-ladder-bench-'));
    writeFileSync(this.#script, PGBENCH_SCRIPTS[task.work]);
    await this.round(1_000);
  }

  async round(millis: number): Promise<Sample> {
    const { work, callers } = this.#task;
    const isRead = work === 'point' || work === 'ten' || work === 'thousand';
    const url = (isRead ? this.#servers.replicas[0] : undefined) ?? this.#servers.primary;
    const seconds = Math.max(1, Math.round(millis / 1_000));
    const plan = ['-n', '-M', 'prepared', '-c', `${callers}`, '-j', `${this.#threads}`, '-T', `${seconds}`];
    const output = await this.#run([...plan, '-f', this.#script, url]);
    const perSecond = Number(/^tps = ([\d.]+) \(without initial connection time\)/m.exec(output)?.[1]);
    if (!(perSecond > 0)) throw new Error(`pgbench told no speed: ${output.slice(0, 500)}`);
    return {
      perSecond,
      cpuMicros: undefined,
      checkedCount: 0,
      staleCount: 0,
      errorCount: 0,
      firstError: undefined,
    };
  }

  async close(): Promise<undefined> {
    return undefined;
  }

  stop(): void {
    this.#process?.kill('SIGKILL');
    if (this.#folder !== '') rmSync(this.#folder, { recursive: true, force: true });
    this.#folder = '';
  }

  get #script(): string {
    return join(this.#folder, 'script.sql');
  }

  #run(args: readonly string[]): Promise<string> {
    const child = spawn(this.#binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    let output = '';
    let complaints = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints += text;
    });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        this.#process = undefined;
        if (code === 0) resolve(output);
        else reject(new Error(`pgbench ended with ${code}: ${complaints.trim().split('\n').at(-1) ?? ''}`));
      });
    });
  }
}
