// What test clusters leave on this machine: their processes and directories, and PostgreSQL's shared memory.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Leftovers {
  readonly directories: readonly string[];
  readonly processes: readonly string[];
}

/** All directories of clusters, and all servers that run below them. */
export function findLeftovers(): Leftovers {
  const parents = [...new Set(['/dev/shm', tmpdir()])].filter((parent) => existsSync(parent));
  const directories = parents.flatMap((parent) =>
    readdirSync(parent)
      .filter((name) => /^pg-ladder-[0-9a-f]{12}$/.test(name))
      .map((name) => join(parent, name)),
  );
  const lines = execFileSync('ps', ['-A', '-ww', '-o', 'pid=,args='], { encoding: 'utf8' }).split('\n');
  const processes = lines.filter((line) => /postgres -D \S*pg-ladder-[0-9a-f]{12}\//.test(line));
  return { directories, processes };
}

/** What there is now of a cluster's directory, its servers and its backends, told by the pids of its processes. */
export function remainsOf(directory: string, pids: readonly number[]): string[] {
  const { directories, processes } = findLeftovers();
  return [
    ...directories.filter((each) => each === directory),
    ...processes.filter((line) => line.includes(`${directory}/`)),
    ...pids.filter(isAlive).map((pid) => `process ${pid}`),
  ];
}

/** The directory that holds the data directory of a node, as its server told. */
export function clusterDirectory(dataDirectory: string): string {
  return join(dataDirectory, '..');
}

function isAlive(pid: number): boolean {
  const state = execFileSync('sh', ['-c', `ps -o state= -p ${pid} || true`], { encoding: 'utf8' }).trim();
  return state !== '' && !state.startsWith('Z');
}

/** Identifiers of all System V shared memory segments; undefined where they cannot be listed. */
export function sharedMemorySegments(): string[] | undefined {
  if (!existsSync('/proc/sysvipc/shm')) return undefined;
  const lines = readFileSync('/proc/sysvipc/shm', 'utf8').trim().split('\n').slice(1);
  return lines.map((line) => line.trim().split(/\s+/)[1] ?? '');
}
