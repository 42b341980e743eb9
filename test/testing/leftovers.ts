// What test clusters leave on this machine: their processes and directories, and PostgreSQL's shared memory.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { query } from './query.js';

interface Leftovers {
  readonly directories: readonly string[];
  readonly processes: readonly string[];
}

/** All directories of clusters, and all servers that run below them. */
function findLeftovers(): Leftovers {
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

/** What the tests must know of a running server to look for its remains. */
export interface Footprint {
  readonly directory: string;
  readonly pids: readonly number[];
  readonly segment: string | undefined;
}

export async function footprintOf(node: { readonly connectionString: string }): Promise<Footprint> {
  const directory = (await query(node, 'show data_directory')) as string;
  const pids = `select array_agg(pid) from pg_stat_activity where backend_type <> 'client backend'`;
  const lines = readFileSync(join(directory, 'postmaster.pid'), 'utf8').split('\n');
  return { directory, pids: (await query(node, pids)) as number[], segment: lines[6]?.trim().split(/\s+/)[1] };
}

/** What there still is of servers: the directory of their cluster, their processes, their shared memory. */
export function remainsOf(footprints: readonly Footprint[]): string[] {
  const { directories, processes } = findLeftovers();
  const segments = sharedMemorySegments();
  return footprints.flatMap(({ directory, pids, segment }) => [
    ...directories.filter((each) => directory.startsWith(each)),
    ...processes.filter((line) => line.includes(directory)),
    ...pids.filter(isAlive).map((pid) => `process ${pid}`),
    ...segments.filter((each) => each === segment).map((each) => `shared memory ${each}`),
  ]);
}

function isAlive(pid: number): boolean {
  const state = execFileSync('sh', ['-c', `ps -o state= -p ${pid} || true`], { encoding: 'utf8' }).trim();
  return state !== '' && !state.startsWith('Z');
}

/** Identifiers of all System V shared memory segments; none where they cannot be listed. */
export function sharedMemorySegments(): string[] {
  if (!existsSync('/proc/sysvipc/shm')) return [];
  const lines = readFileSync('/proc/sysvipc/shm', 'utf8').trim().split('\n').slice(1);
  return lines.map((line) => line.trim().split(/\s+/)[1] ?? '');
}
