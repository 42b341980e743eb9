// A PostgreSQL server as a process of this machine, and a fleet of them with their directories and
// watchdog. Decides ports, signals and what is cleaned up; never speaks SQL except to copy a
// running server.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { appendFile, open, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server as TcpServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { performance } from '../clock.js';
import { copyRunningServer } from './base-backup.js';
import type { Binaries } from './binaries.js';
import { until } from './control.js';
import * as data from './data-directory.js';
import { TestBackendError } from './error.js';
import { freezeTree, killTree, send, thawTree } from './processes.js';
import { type Backend, conninfo, type Fleet, lastLines, type Server, type ServerPlan } from './server.js';
import { newSystemIdentifier } from './system-identifier.js';
import { Watchdog } from './watchdog.js';

const run = promisify(execFile);

const LOOPBACK = '127.0.0.1';
const START_TIMEOUT_MILLIS = 30_000;
const SHUTDOWN_TIMEOUT_MILLIS = 5_000;
const PORT_ATTEMPTS = 5;
const PORT_TAKEN = /could not bind|Address already in use/;

/** Runs servers of the given binaries on this machine. */
export function localBackend(name: 'embedded' | 'path', found: Binaries): Backend {
  return { name, version: found.version, launch: (plans) => launch(found, plans) };
}

async function launch(found: Binaries, plans: readonly ServerPlan[]): Promise<Fleet> {
  const watchdog = new Watchdog();
  const servers: LocalServer[] = [];
  let base: string | undefined;
  const dispose = async () => {
    await Promise.all(servers.map((server) => server.destroy()));
    if (base) {
      await data.removeDirectory(base);
      watchdog.release(base);
    }
    await watchdog.end();
  };
  try {
    const account = data.serverAccount();
    const binaries = await data.reachableBinaries(found, account);
    const template = await data.templateDirectory(binaries, account, watchdog);
    base = await data.clusterDirectory(account, watchdog);
    const directory = base;
    const identifier = newSystemIdentifier();
    const { data: source, password } = template;
    servers.push(...plans.map((plan) => new LocalServer(plan, binaries.postgres, directory, account, password)));
    await Promise.all(servers.map((server) => data.copyTemplate(source, server.directory, identifier, account)));
    await Promise.all(servers.slice(1).map((server) => server.becomeStandby()));
    await startTogether(servers);
    return { servers, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Starts all servers on free ports. If another process took one of them, all start again. */
async function startTogether(servers: readonly LocalServer[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const ports = await freePorts(servers.length);
    const results = await Promise.allSettled(
      servers.map(async (server, index) => {
        await server.settle(ports[index] ?? 0, index === 0 ? undefined : ports[0]);
        await server.start({ retryPort: false });
      }),
    );
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (failures.length === 0) return;
    const other = failures.find((failure) => !(failure instanceof PortTaken));
    if (other !== undefined || attempt === PORT_ATTEMPTS) throw other ?? failures[0];
    await Promise.all(servers.map((server) => server.kill()));
  }
}

class PortTaken extends TestBackendError {}

class LocalServer implements Server {
  readonly name: string;
  readonly directory: string;
  readonly password: string;
  readonly #plan: ServerPlan;
  readonly #postgres: string;
  readonly #account: data.Account | undefined;
  readonly #logFile: string;
  #port = 0;
  #child: ChildProcess | undefined;
  #frozen = false;

  constructor(plan: ServerPlan, postgres: string, base: string, account: data.Account | undefined, password: string) {
    this.password = password;
    this.name = plan.name;
    this.#plan = plan;
    this.#postgres = postgres;
    this.#account = account;
    this.directory = join(base, plan.name);
    this.#logFile = join(base, `${plan.name}.log`);
  }

  get host(): string {
    return LOOPBACK;
  }

  get port(): number {
    return this.#port;
  }

  get peerAddress() {
    return { host: LOOPBACK, port: this.#port };
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  /** Fixes the port, and the primary's for a standby, before a start. */
  async settle(port: number, primaryPort: number | undefined): Promise<void> {
    this.#port = port;
    const upstream =
      primaryPort === undefined ? {} : { primary_conninfo: conninfo(LOOPBACK, primaryPort, this.name, this.password) };
    await data.writeSettings(this.directory, { ...this.#plan.settings, ...upstream, port });
  }

  async becomeStandby(): Promise<void> {
    await data.addFile(join(this.directory, 'standby.signal'), '', this.#account);
  }

  async start({ retryPort = true } = {}): Promise<void> {
    if (this.running) return;
    const deadline = performance.now() + START_TIMEOUT_MILLIS;
    for (;;) {
      try {
        return await this.#startOnce();
      } catch (error) {
        // The port of a server that was down for a while may serve a passing connection as its
        // local end.
        if (!(error instanceof PortTaken) || !retryPort || performance.now() > deadline) throw error;
      }
    }
  }

  async #startOnce(): Promise<void> {
    const log = await open(this.#logFile, 'a');
    const { size: logStart } = await log.stat();
    const child = spawn(this.#postgres, ['-D', this.directory], {
      ...this.#account,
      cwd: '/',
      detached: true, // Ctrl-C in the terminal is not for the server
      env: data.serverEnvironment(),
      stdio: ['ignore', log.fd, log.fd],
    });
    let failure: Error | undefined;
    child.on('error', (error) => {
      failure = error; // could not even be spawned
      this.#child = undefined;
    });
    child.on('exit', () => {
      if (this.#child === child) this.#child = undefined;
      this.#frozen = false;
    });
    child.unref();
    this.#child = child;
    await log.close(); // not before someone listens for the exit
    const ready = async () => {
      if (failure || !this.running) return 'down';
      const lines = (await readFile(join(this.directory, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
      return Number(lines[0]) === child.pid && /^(ready|standby)/.test(lines[7] ?? '') && 'up';
    };
    const state = await until(ready, {
      what: `server ${this.name} to accept connections`,
      timeoutMillis: START_TIMEOUT_MILLIS,
    }).catch((error: Error) => error);
    if (state === 'up') return;
    if (state !== 'down') await this.kill();
    const said = (await readFile(this.#logFile, 'utf8')).slice(logStart);
    const FailureClass = PORT_TAKEN.test(said) ? PortTaken : TestBackendError;
    throw new FailureClass(
      'LADDER_TEST_START_FAILED',
      `Server ${this.name} did not start${failure ? ` (${failure.message})` : ''}. Its log ends with:\n  ${lastLines(said)}`,
      { cause: state === 'down' ? failure : state },
    );
  }

  async shutdown(): Promise<void> {
    await this.thaw();
    // Fast shutdown waits for standbys that are still connected: one that hangs must not hold it
    // up.
    if (!(await this.#ask('SIGINT')) && !(await this.#ask('SIGQUIT'))) await this.kill();
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    await killTree(child.pid);
    await until(async () => this.#child !== child, { what: `server ${this.name} to be gone` });
    await this.#removeSharedMemory();
  }

  async freeze(): Promise<void> {
    const pid = this.#livingPid('freeze');
    this.#frozen = true;
    await freezeTree(pid);
  }

  async thaw(): Promise<void> {
    if (this.#child?.pid !== undefined && this.#frozen) await thawTree(this.#child.pid);
    this.#frozen = false;
  }

  async rebuildFrom(source: Server): Promise<void> {
    if (!(source instanceof LocalServer)) throw new TypeError('A local server is rebuilt from a local server.');
    await this.shutdown();
    await copyRunningServer(source, this.directory, this.#account);
    await this.settle(this.#port, undefined); // the copy brought the source's settings and port
    const upstream = { primary_conninfo: conninfo(LOOPBACK, source.port, this.name, this.password) };
    await appendFile(join(this.directory, 'postgresql.auto.conf'), data.formatSettings(upstream));
    await this.becomeStandby();
  }

  log(): Promise<string> {
    return readFile(this.#logFile, 'utf8');
  }

  /** Gone in the quickest way that leaves no shared memory behind. */
  async destroy(): Promise<void> {
    await this.thaw();
    if (!(await this.#ask('SIGQUIT'))) await this.kill();
  }

  /** Sends the postmaster a signal to end; false when it is still there after a while. */
  async #ask(signal: 'SIGINT' | 'SIGQUIT'): Promise<boolean> {
    const child = this.#child;
    if (child?.pid === undefined) return true;
    send(child.pid, signal);
    return until(async () => this.#child !== child, {
      what: 'a shutdown',
      timeoutMillis: SHUTDOWN_TIMEOUT_MILLIS,
    }).catch(() => false);
  }

  /**
   * A killed server leaves its System V segment, a few bytes that only the next start would clear.
   */
  async #removeSharedMemory(): Promise<void> {
    const file = join(this.directory, 'postmaster.pid');
    const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n');
    const segment = lines[6]?.trim().split(/\s+/)[1];
    if (segment) {
      // Without ipcrm the next start clears it, and needs this file for that.
      await run('ipcrm', ['-m', segment]).then(
        () => rm(file, { force: true }),
        () => {},
      );
    }
  }

  #livingPid(verb: string): number {
    if (this.#child?.pid !== undefined) return this.#child.pid;
    throw new TestBackendError('LADDER_TEST_UNSUPPORTED', `Cannot ${verb} server ${this.name}: it is not running.`);
  }
}

/** Free ports; all are held at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const listeners = await Promise.all(Array.from({ length: count }, () => listen()));
  const ports = listeners.map((listener) => (listener.address() as AddressInfo).port);
  await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.close(resolve))));
  return ports;
}

function listen(): Promise<TcpServer> {
  return new Promise((resolve, reject) => {
    const listener = createServer();
    listener.once('error', reject);
    listener.listen(0, LOOPBACK, () => resolve(listener));
  });
}
