// Makes sure that no server and no data directory outlives the process that started it, SIGKILL
// included: a small detached child reads directory names from a pipe, and at its end (no process holds
// the other end any more) kills what runs below them and removes them. It never acts while its
// parent lives.
import { type ChildProcess, spawn } from 'node:child_process';

// Runs in the child as `node -e`. A string, since a bundler may add helper calls to a function's
// text. A server is found by its -D argument, its children by their parent; SIGQUIT lets it take
// its shared memory with it, SIGKILL is for those that do not listen.
const SOURCE = `
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => {});

const list = () => {
  let pids = [];
  try { pids = fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)); } catch {}
  if (pids.length === 0) {
    return execFileSync('ps', ['-A', '-ww', '-o', 'pid=,ppid=,state=,args='], { encoding: 'utf8' }).split('\\n')
      .map((line) => /^ *([0-9]+) +([0-9]+) +([A-Za-z])[^ ]* +(.*)/.exec(line)).filter(Boolean)
      .map(([, pid, parent, state, args]) => ({ pid: Number(pid), parent: Number(parent), state, args }));
  }
  return pids.flatMap((pid) => {
    try {
      const stat = fs.readFileSync('/proc/' + pid + '/stat', 'latin1');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const args = fs.readFileSync('/proc/' + pid + '/cmdline', 'latin1').replaceAll('\\0', ' ');
      return [{ pid: Number(pid), parent: Number(parent), state, args }];
    } catch { return []; }
  });
};
const below = (directory) => {
  const all = list().filter((each) => each.state !== 'Z');
  const heads = all.filter((each) => /(postgres|initdb|cp) /.test(each.args) &&
    (each.args.includes(' -D ' + directory + '/') || each.args.includes(' ' + directory + '/')));
  const pids = new Set(heads.map((each) => each.pid));
  for (let size = 0; size !== pids.size; ) {
    size = pids.size;
    for (const each of all) if (pids.has(each.parent)) pids.add(each.pid);
  }
  pids.delete(process.pid);
  return { heads: heads.map((each) => each.pid), pids: [...pids] };
};
const send = (pids, signal) => { for (const pid of pids) try { process.kill(pid, signal); } catch {} };
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

const clear = async (directory) => {
  const segments = [];
  let nodes = [];
  try { nodes = fs.readdirSync(directory); } catch {}
  for (const node of nodes) try {
    const lines = fs.readFileSync(directory + '/' + node + '/postmaster.pid', 'utf8').split('\\n');
    segments.push((lines[6] || '').trim().split(/ +/)[1]);
  } catch {}
  let { heads, pids } = below(directory);
  send(pids, 'SIGCONT');
  send(heads, 'SIGQUIT');
  for (let tries = 0; tries < 100 && pids.length > 0; tries++) {
    await pause(20);
    ({ heads, pids } = below(directory));
    if (tries >= 50) { send(heads, 'SIGSTOP'); send(below(directory).pids, 'SIGKILL'); }
  }
  for (const segment of segments) if (segment) try { execFileSync('ipcrm', ['-m', segment], { stdio: 'ignore' }); } catch {}
  for (let tries = 0; tries < 20 && fs.existsSync(directory); tries++) {
    try { fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5 }); } catch { await pause(50); }
  }
};

let input = '';
process.stdin.setEncoding('utf8').on('data', (chunk) => { input += chunk; });
const atEnd = async () => {
  const directories = new Set();
  for (const line of input.split('\\n').slice(0, -1)) {
    if (line.startsWith('+')) directories.add(line.slice(1)); else directories.delete(line.slice(1));
  }
  await Promise.all([...directories].map(clear));
  process.exit(0);
};
process.stdin.once('end', atEnd).once('error', atEnd);
`;

/** Watches over directories whose servers must not outlive this process. */
export class Watchdog {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = spawn(process.execPath, ['-e', SOURCE], {
      cwd: '/',
      detached: true, // Ctrl-C goes to the whole foreground group
      env: { PATH: process.env['PATH'] }, // no NODE_OPTIONS, no loaders
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#child.on('error', () => {});
    this.#child.stdin?.on('error', () => {});
    this.#child.unref();
    (this.#child.stdin as unknown as { unref?(): void } | null)?.unref?.();
  }

  /**
   * From now on `directory` and the servers below it go when this process goes. Call it before they
   * exist.
   */
  guard(directory: string): void {
    this.#child.stdin?.write(`+${directory}\n`);
  }

  /** `directory` has been cleaned up. */
  release(directory: string): void {
    this.#child.stdin?.write(`-${directory}\n`);
  }

  /** Resolves when the child is gone. Whatever is still guarded is cleared by it first. */
  async end(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    await new Promise<void>((resolve) => {
      child.ref();
      child.once('exit', () => resolve());
      child.stdin?.end();
    });
  }
}
