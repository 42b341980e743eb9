/** A Redis of the benchmark's own, where the machine has one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { findBinary } from '../binaries.js';
import { freePort } from '../free-port.js';

const START_MILLIS = 10_000;

export class Redis implements AsyncDisposable {
  readonly port: number;
  readonly #process: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#process = child;
  }

  /** `undefined`: the machine has none. */
  static async start(): Promise<Redis | undefined> {
    const binary = findBinary('redis-server');
    if (binary === undefined) return undefined;
    const port = await freePort();
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    const redis = new Redis(port, spawn(binary, args, { stdio: 'ignore' }));
    const giveUpAt = performance.now() + START_MILLIS;
    while (!(await answersOn(port))) {
      if (performance.now() > giveUpAt) throw new Error('redis-server does not answer');
      await sleep(20);
    }
    return redis;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill();
    await ended;
  }
}

function answersOn(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}
