/** Where figures come from: what may explain them, and nothing that names the machine or its user. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { pinnedPeers } from './peers.js';

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGigabytes: number;
  readonly node: string;
  readonly postgres: string;
  readonly pgLadder: string;
  readonly pg: string;
  readonly peers: Readonly<Record<string, string>>;
}

/** @param node the binary that contenders run on; `undefined` for that of this process */
export function machineOf(postgres: string, withPeers: boolean, node?: string): Machine {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: (cpus()[0]?.model ?? 'unknown').trim(),
    cores: availableParallelism(),
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    node: node === undefined ? process.versions.node : versionOf(node),
    postgres,
    pgLadder: version,
    pg: (createRequire(import.meta.url)('pg/package.json') as { version: string }).version,
    peers: withPeers ? pinnedPeers() : {},
  };
}

function versionOf(node: string): string {
  return execFileSync(node, ['--version'], { encoding: 'utf8' }).trim().replace(/^v/, '');
}

export function describe({ cpu, cores, memoryGigabytes, node, postgres, pg, date }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGigabytes} GB · PostgreSQL ${postgres} · Node ${node} · pg ${pg} · ${date}`;
}
