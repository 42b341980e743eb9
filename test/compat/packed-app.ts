/** Small apps over the packed library, in folders whose packages are a test runner's, a bundler's or a framework's. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
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

/** For an app: opens a cluster over the test's servers, and prints where reads went. */
export const MAIN_CJS = `
  const routed = require('./routed.cjs');
  routed(require('pg-ladder')).then(
    (outcome) => console.log('${MARK}' + JSON.stringify(outcome)),
    (error) => { console.error(error); process.exit(1); },
  );`;
export const MAIN_ESM = `
  import * as ladder from 'pg-ladder';
  import routed from './routed.cjs';
  console.log('${MARK}' + JSON.stringify(await routed(ladder)));`;

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
