/** Small apps over the packed library, in folders whose packages are a test runner's, a bundler's or a framework's. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import type { TestCluster } from '../../src/testing/index.js';

const execute = promisify(execFile);
const MARK = 'routed: ';

/** What an app tells where the grammar works; see routed.cjs. */
export const ON_REPLICAS = {
  class: 'read',
  because: expect.any(String),
  query: 'r1',
  stream: 'r1',
  poolQuery: 'r1',
  poolClient: 'r1',
  counts: [1, 1, 1, 1],
  warnings: [],
};

const PRINT = `routed(ladder).then(
    (outcome) => console.log('${MARK}' + JSON.stringify(outcome)),
    (error) => { console.error(error); process.exit(1); },
  );`;
/** Opens a cluster over the test's servers, and prints where reads went. */
export const APP = {
  'main.cjs': `
  const ladder = require('pg-ladder');
  const routed = require('./routed.cjs');
  ${PRINT}`,
  'main.mjs': `
  import * as ladder from 'pg-ladder';
  import routed from './routed.cjs';
  ${PRINT}`,
  // The library's own, further up, says that the package's name means its sources.
  'tsconfig.json': '{}',
};

export class PackedApp implements AsyncDisposable {
  readonly folder: string;
  /** Where its packages are. */
  readonly packages: string;
  /** Nothing of the test's own process, which says NODE_ENV=test. */
  readonly env: Record<string, string>;

  private constructor(folder: string, servers: TestCluster) {
    this.folder = folder;
    this.packages = join(dirname(folder), 'node_modules');
    this.env = {
      PATH: process.env['PATH'] ?? '',
      HOME: process.env['HOME'] ?? '',
      CI: 'true',
      NO_COLOR: '1',
      PRIMARY_URL: servers.primary.connectionString,
      REPLICA_URL: servers.replicas[0]?.connectionString ?? '',
    };
  }

  get name(): string {
    return basename(this.folder);
  }

  /** @param test the test's own file: the app is written into a folder beside it */
  static async write(test: string, servers: TestCluster, files: Record<string, string>): Promise<PackedApp> {
    const folder = await mkdtemp(join(dirname(fileURLToPath(test)), '.app-'));
    const app = new PackedApp(folder, servers);
    await copyFile(new URL('routed.cjs', import.meta.url), join(folder, 'routed.cjs'));
    await Promise.all(Object.entries(files).map(([name, text]) => app.add(name, text)));
    return app;
  }

  async add(name: string, text: string): Promise<void> {
    await mkdir(dirname(join(this.folder, name)), { recursive: true });
    await writeFile(join(this.folder, name), text);
  }

  /** Runs what was written into `folder`, where nothing else is found: neither packages nor the app's other files. */
  alone(folder: string, script: string): Promise<unknown> {
    return this.#elsewhere(folder, async (cwd) => {
      const { stdout } = await execute(process.execPath, [script], { cwd, env: this.env });
      return outcomeIn(stdout);
    });
  }

  /** As `alone`, for a server. @returns what it has answered */
  answerAlone(folder: string, script: string, port: number): Promise<string> {
    return this.#elsewhere(folder, (cwd) => this.answer(cwd, script, [], port));
  }

  async #elsewhere<T>(folder: string, run: (cwd: string) => Promise<T>): Promise<T> {
    const place = await mkdtemp(join(tmpdir(), 'pg-ladder-alone-'));
    try {
      await cp(join(this.folder, folder), place, { recursive: true, verbatimSymlinks: true });
      return await run(place);
    } finally {
      await rm(place, { recursive: true });
    }
  }

  /** Runs a script of Node's in the app's folder. @returns what it has printed */
  async node(script: string, args: readonly string[] = [], env: Record<string, string> = {}): Promise<string> {
    try {
      const options = { cwd: this.folder, env: { ...this.env, ...env } };
      const { stdout, stderr } = await execute(process.execPath, [script, ...args], options);
      return stdout + stderr;
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(`${script} failed:\n${stdout}${stderr}`, { cause: error });
    }
  }

  /** Runs what prints its outcome. */
  async outcome(script: string, args?: readonly string[], env?: Record<string, string>): Promise<unknown> {
    return outcomeIn(await this.node(script, args, env));
  }

  /** Runs a server until it has answered. @returns what it has answered */
  async answer(cwd: string, script: string, args: readonly string[], port: number): Promise<string> {
    const env = { ...this.env, PORT: String(port), HOSTNAME: '127.0.0.1' };
    const server = spawn(process.execPath, [script, ...args], { cwd, env, detached: true });
    let printed = '';
    for (const stream of [server.stdout, server.stderr]) {
      stream.on('data', (chunk) => {
        printed += String(chunk);
      });
    }
    const ended = once(server, 'exit');
    try {
      for (;;) {
        const answered = await fetch(`http://127.0.0.1:${port}/`).then(
          (response) => response.text(),
          () => undefined,
        );
        if (answered !== undefined) return answered;
        if (server.exitCode !== null) throw new Error(`the server has ended:\n${printed}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } finally {
      // With whatever it has started itself.
      if (server.exitCode === null) process.kill(-(server.pid as number), 'SIGKILL');
      await ended;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What an app has printed as its outcome. */
export function outcomeIn(printed: string): unknown {
  const line = printed.split('\n').find((each) => each.includes(MARK));
  if (line === undefined) throw new Error(`printed no outcome:\n${printed}`);
  return JSON.parse(line.slice(line.indexOf(MARK) + MARK.length));
}
