/**
 * A proxy in front of the servers, as a process of this machine: its files in a directory of its own, as nobody where this process is root, ready when it
 * answers a query, and gone with all its children when it is stopped.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { within } from '../../src/cli/demo/deadline.js';
import { serverAccount } from '../../src/testing/data-directory.js';
import type { Servers } from '../contenders/access.js';

/** What kind of proxy it is. */
export interface Kind {
  readonly binary: string;
  /** Debian's package that brings it. */
  readonly debianPackage: string;
  /** Asks it to end at once, and to clean up. */
  readonly stopSignal: NodeJS.Signals;
  plan(servers: Servers, folder: string): Promise<ProxyPlan>;
}

export interface ProxyPlan {
  /** By their names in the proxy's folder. */
  readonly files: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  /** Where applications connect to. */
  readonly entries: Servers;
}

const START_ATTEMPTS = 3;
const START_MILLIS = 15_000;
const STOP_MILLIS = 3_000;

export class RunningProxy implements AsyncDisposable {
  readonly entries: Servers;
  readonly #launch: () => ChildProcess;
  #child: ChildProcess;
  readonly #kind: Kind;
  readonly #folder: string;

  private constructor(launch: () => ChildProcess, kind: Kind, folder: string, entries: Servers) {
    this.#launch = launch;
    this.#child = launch();
    this.#kind = kind;
    this.#folder = folder;
    this.entries = entries;
  }

  /** @throws Error with the end of its log, when it does not answer */
  static async start(kind: Kind, binary: string, servers: Servers): Promise<RunningProxy> {
    for (let attempt = 1; ; attempt++) {
      const proxy = await RunningProxy.#launched(kind, binary, servers);
      try {
        await proxy.#ready();
        return proxy;
      } catch (error) {
        // Another process may have taken one of its ports; then it ends at once.
        if (!proxy.#hasEnded || attempt === START_ATTEMPTS) throw error;
      }
    }
  }

  static async #launched(kind: Kind, binary: string, servers: Servers): Promise<RunningProxy> {
    const account = serverAccount();
    const folder = mkdtempSync(join(tmpdir(), `pg-ladder-${kind.binary}-`));
    const { files, args, entries } = await kind.plan(servers, folder);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    mkdirSync(join(folder, 'run'));
    if (account !== undefined) {
      for (const name of ['.', 'run', ...Object.keys(files)]) chownSync(join(folder, name), account.uid, account.gid);
    }
    const launch = () => {
      const log = openSync(join(folder, 'log'), 'a');
      // A group of its own: Ctrl-C is for this process, which then stops the proxy in good order.
      const child = spawn(binary, args, { ...account, cwd: '/', detached: true, stdio: ['ignore', log, log] });
      closeSync(log);
      return child;
    };
    return new RunningProxy(launch, kind, folder, entries);
  }

  /** Ends it with all its connections, and starts it again at the same addresses; resolves when it answers. */
  async restart(): Promise<void> {
    await this.#end();
    this.#child = this.#launch();
    await this.#ready();
  }

  async stop(): Promise<void> {
    await this.#end();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    try {
      await Promise.all([this.entries.primary, ...this.entries.replicas].map((url) => this.#answers(url)));
    } catch (error) {
      const said = readFileSync(join(this.#folder, 'log'), 'utf8').trimEnd().split('\n').slice(-10).join('\n  ');
      await this.stop();
      throw new Error(`${this.#kind.binary} does not answer. Its log ends with:\n  ${said}`, { cause: error });
    }
  }

  async #end(): Promise<void> {
    const child = this.#child;
    if (child.pid === undefined || this.#hasEnded) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(this.#kind.stopSignal);
    await within(STOP_MILLIS, 'stopping', gone).catch(() => {});
    try {
      process.kill(-child.pid, 'SIGKILL'); // whoever is left of its group
    } catch {} // nobody is
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #answers(url: string): Promise<void> {
    const giveUpAt = performance.now() + START_MILLIS;
    for (;;) {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => {}); // told by the query
      try {
        await client.connect();
        await client.query('select 1');
        await client.end();
        return;
      } catch (error) {
        if (performance.now() > giveUpAt || this.#hasEnded) throw error;
        await sleep(50);
      }
    }
  }
}

export function addressOf(url: string): { readonly host: string; readonly port: string } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port };
}

/** Of the servers' superuser. */
export function passwordOf({ primary }: Servers): string {
  return new URL(primary).password;
}

export function entry(port: number, password: string, database = 'postgres'): string {
  return `postgres://postgres:${password}@127.0.0.1:${port}/${database}`;
}
