// Signals for a server and everything it has forked. PostgreSQL's backends call setsid(), so a
// signal to the process group does not reach them: they are found by their parent. Never touches a
// process by name.
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { until } from './control.js';

const run = promisify(execFile);

interface ProcessState {
  readonly pid: number;
  readonly parentPid: number;
  /** As in ps: T is stopped, Z is dead and not yet reaped. */
  readonly state: string;
}

/** SIGKILL for `pid` and its descendants; resolves when all of them are gone. */
export async function killTree(pid: number): Promise<void> {
  // Stopped first, it can neither fork nor be told of a dead child while the others are looked up.
  send(pid, 'SIGSTOP');
  const tree = await treeOf(pid);
  for (const member of [pid, ...tree.map((process) => process.pid)]) send(member, 'SIGKILL');
  const members = new Set([pid, ...tree.map((process) => process.pid)]);
  await until(async () => !(await listProcesses()).some((each) => members.has(each.pid) && each.state !== 'Z'), {
    what: `the processes of server ${pid} to be gone`,
  });
}

/**
 * SIGSTOP for `pid` and its descendants, the parent first; resolves when all of them stand still.
 */
export async function freezeTree(pid: number): Promise<void> {
  send(pid, 'SIGSTOP');
  await until(
    async () => {
      const moving = (await treeOf(pid)).filter((each) => each.state !== 'T' && each.state !== 'Z');
      for (const each of moving) send(each.pid, 'SIGSTOP');
      return moving.length === 0;
    },
    { what: `the processes of server ${pid} to stand still` },
  );
}

/** SIGCONT for `pid` and its descendants, the parent last. */
export async function thawTree(pid: number): Promise<void> {
  const tree = await treeOf(pid);
  for (const each of tree.reverse()) send(each.pid, 'SIGCONT');
}

/** Sends a signal; a process that is gone already is no error. */
export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** `pid`, if it lives, then its descendants, parents before children. */
async function treeOf(pid: number): Promise<ProcessState[]> {
  const all = await listProcesses();
  const tree = all.filter((each) => each.pid === pid);
  for (const parent of tree) tree.push(...all.filter((each) => each.parentPid === parent.pid));
  return tree;
}

async function listProcesses(): Promise<ProcessState[]> {
  const entries = await readdir('/proc').catch(() => []);
  const pids = entries.filter((entry) => /^\d+$/.test(entry));
  if (pids.length === 0) return listProcessesByPs();
  const found = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
      // The command's name stands in parentheses and may itself contain any character.
      const [state, parentPid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return { pid: Number(pid), parentPid: Number(parentPid), state: state ?? '' };
    }),
  );
  return found.filter((each) => each.state !== '');
}

async function listProcessesByPs(): Promise<ProcessState[]> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=,state=']);
  return stdout.split('\n').flatMap((line) => {
    const [pid, parentPid, state] = line.trim().split(/\s+/);
    return state ? [{ pid: Number(pid), parentPid: Number(parentPid), state: state.charAt(0) }] : [];
  });
}
