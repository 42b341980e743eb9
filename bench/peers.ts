/**
 * The libraries that this one is measured beside live in a package of the benchmark's own, installed by its first run: whoever works on the
 * library does not carry them. Versions are pinned there, and nothing is measured with others.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const folder = new URL('./peers/', import.meta.url);
const requirePeer = createRequire(new URL('package.json', folder));

interface Manifest {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** @throws when the peers are not installed */
export function loadPeer<T>(name: string): T {
  return requirePeer(name) as T;
}

/** One that only `import` loads. @param file within its package's folder, the folder included */
export async function importPeer<T>(file: string): Promise<T> {
  return (await import(new URL(`node_modules/${file}`, folder).href)) as T;
}

/** Every peer with the version that is pinned. */
export function pinnedPeers(): Readonly<Record<string, string>> {
  return manifest('package.json')?.dependencies ?? {};
}

/** Installs them unless they are there, with npm's own words on stderr. @throws Error when npm fails */
export async function installPeers(say: (text: string) => void, signal: AbortSignal): Promise<void> {
  const missing = Object.entries(pinnedPeers()).filter(
    ([name, version]) => manifest(`node_modules/${name}/package.json`)?.version !== version,
  );
  if (missing.length === 0) return;
  say(`installing ${missing.map(([name, version]) => `${name} ${version}`).join(', ')} into bench/peers...`);
  const npm = spawn('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: fileURLToPath(folder),
    stdio: ['ignore', process.stderr, process.stderr],
    shell: process.platform === 'win32',
    signal,
  });
  await new Promise<void>((resolve, reject) => {
    npm.once('error', reject);
    npm.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error('npm ci in bench/peers failed: measure without the peers with --no-peers'));
    });
  });
}

function manifest(path: string): Manifest | undefined {
  const file = new URL(path, folder);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Manifest) : undefined;
}
