/** A Redis of this machine, for one test: on a port of its own, keeping nothing on disk, and gone when it is stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../bench/free-port.js';

const START_MILLIS = 10_000;

export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #gone: Promise<void>;
  /** Also where a test was given up halfway. */
  readonly #atExit = () => void this.#child.kill('SIGKILL');

  private constructor(child: ChildProcess, port: number, folder: string) {
    this.#child = child;
    this.port = port;
    this.#folder = folder;
    this.#gone = new Promise((resolve) => child.once('exit', () => resolve()));
    process.once('exit', this.#atExit);
  }

  /** @throws Error with what it said, when it does not accept connections */
  static async start(
    binary: string,
    args: readonly string[] = [],
    port?: number,
    env: Readonly<Record<string, string>> = {},
  ): Promise<RedisServer> {
    const folder = mkdtempSync(join(tmpdir(), 'pg-ladder-redis-'));
    const at = port ?? (await freePort());
    const own = ['--port', String(at), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'];
    const child = spawn(binary, [...own, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    const server = new RedisServer(child, at, folder);
    let said = '';
    let timer: NodeJS.Timeout | undefined;
    const ready = new Promise<boolean>((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          said += text;
          if (said.includes('Ready to accept connections')) resolve(true);
        });
      }
      child.once('error', () => resolve(false));
      child.once('exit', () => resolve(false));
      timer = setTimeout(() => resolve(false), START_MILLIS);
    });
    const isReady = await ready;
    clearTimeout(timer);
    if (isReady) return server;
    await server.stop();
    throw new Error(`redis-server does not answer. It said:\n${said}`);
  }

  /** Keeps its connections, and answers nobody until it goes on. */
  hang(): void {
    this.#child.kill('SIGSTOP');
  }

  goOn(): void {
    this.#child.kill('SIGCONT');
  }

  /** At once, however it is; idempotent. */
  async stop(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) {
      this.#child.kill('SIGKILL');
      await this.#gone;
    }
    process.removeListener('exit', this.#atExit);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
