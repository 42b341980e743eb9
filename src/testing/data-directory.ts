// Makes the data directories of a cluster: one initdb per version and machine, kept as a template,
// then a cold copy for each node with a system identifier of its own for each cluster. Never starts
// a server.
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  appendFile,
  chmod,
  chown,
  type FileHandle,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Binaries, linkLibraries } from './binaries.js';
import { TestBackendError } from './error.js';
import { newPassword, scramVerifier } from './password.js';
import type { Settings } from './server.js';
import { setSystemIdentifier } from './system-identifier.js';
import type { Watchdog } from './watchdog.js';

const run = promisify(execFile);

/**
 * How every cluster is initialised, beside the superuser's password: everybody is asked for his,
 * UTF-8, no waiting for disks.
 */
export const INITDB_FLAGS = ['-U', 'postgres', '-A', 'scram-sha-256', '-E', 'UTF8', '--no-locale', '--no-sync'];
/** Part of a template's name: one that was made in another way is not taken for it. */
const TEMPLATE_FORMAT = 2;
const SETTINGS_FILE = 'pg-ladder.conf';
const PASSWORD_FILE = 'password';
const LOG_BLOCK_BYTES = 64 * 1024;
const SHARED_MEMORY = '/dev/shm';
const SHARED_MEMORY_NEEDED_BYTES = 512 * 1024 * 1024;

/** The user that servers run as, when it is not the user of this process. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root: then it runs as nobody. */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  let passwd = '';
  try {
    passwd = readFileSync('/etc/passwd', 'utf8');
  } catch {} // a container without one
  const [, , uid, gid] = /^nobody:.*$/m.exec(passwd)?.[0].split(':') ?? [];
  return { uid: Number(uid ?? 65534), gid: Number(gid ?? 65534) };
}

/** The environment of every server process: nothing of the caller's PG* or locale leaks in. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' };
}

/**
 * Binaries that `account` can run: a copy in the cache, where the installation is out of its reach.
 */
export async function reachableBinaries(binaries: Binaries, account: Account | undefined): Promise<Binaries> {
  const { root } = binaries;
  const linked = root === undefined || (await hasAllLinks(root));
  if (linked && (account === undefined || (await isOpenToAll(binaries.postgres)))) return binaries;
  if (root === undefined) {
    throw new TestBackendError(
      'LADDER_TEST_BACKEND_MISSING',
      `PostgreSQL will not run as root, and its binaries in ${dirname(binaries.postgres)} are out of reach for the ` +
        'user nobody. Make that directory and those above it readable for all, or run the tests as another user.',
    );
  }
  const copy = join(await cacheDirectory(), `native-${binaries.version}-${hash(root)}`);
  if (!(await exists(copy))) {
    const making = await mkdtemp(`${copy}.`);
    await run('cp', ['-RP', root, join(making, 'native')]);
    await linkLibraries(join(making, 'native'));
    await run('chmod', ['-R', 'a+rX,go-w', making]);
    await moveIntoPlace(making, copy);
  }
  const bin = join(copy, 'native', 'bin');
  return { ...binaries, root: join(copy, 'native'), initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
}

/** What a cluster of this user is copied from, and the password of its superuser. */
export interface Template {
  readonly data: string;
  readonly password: string;
}

/** The never-started data directory that all clusters of this version are copied from. */
export async function templateDirectory(
  binaries: Binaries,
  account: Account | undefined,
  watchdog: Watchdog,
): Promise<Template> {
  const key = hash(JSON.stringify([binaries.initdb, binaries.version, INITDB_FLAGS, TEMPLATE_FORMAT]));
  const template = join(await cacheDirectory(), `template-${binaries.version}-${key}`);
  if (await exists(template)) return readTemplate(template);
  const making = await mkdtemp(`${template}.`);
  watchdog.guard(making);
  if (account) await run('chown', [`${account.uid}:${account.gid}`, making]);
  const password = newPassword();
  const verifier = join(making, 'verifier');
  await addFile(verifier, scramVerifier(password), account);
  await run(binaries.initdb, [...INITDB_FLAGS, `--pwfile=${verifier}`, '-D', join(making, 'data')], {
    ...account,
    cwd: '/',
    env: serverEnvironment(),
  }).catch((error: Error & { stderr?: string }) => {
    const said = error.stderr?.trim() || error.message;
    throw new TestBackendError('LADDER_TEST_START_FAILED', `initdb failed: ${said}`, { cause: error });
  });
  await rm(verifier);
  await freeUnusedLog(join(making, 'data', 'pg_wal'));
  // Readable for the account that copies it, writable for this user alone.
  if (account) await run('chown', ['-R', '0:0', making]);
  await run('chmod', ['-R', 'a+rX,go-w', making]);
  // For this user alone, who hands it out in connection strings.
  await writeFile(join(making, PASSWORD_FILE), password, { mode: 0o600 });
  await moveIntoPlace(making, template);
  watchdog.release(making);
  return readTemplate(template);
}

/**
 * Makes the zeros at the end of the log's segments a hole: of 16 MB hardly two are used, and a hole
 * costs no time to copy and no memory. PostgreSQL reads zeros there, as before.
 */
async function freeUnusedLog(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!/^[0-9A-F]{24}$/.test(name)) continue;
    const segment = await open(join(directory, name), 'r+');
    try {
      const { size } = await segment.stat();
      await segment.truncate(await usedLength(segment, size));
      await segment.truncate(size);
    } finally {
      await segment.close();
    }
  }
}

/** The length of a file without the blocks of zeros at its end. */
async function usedLength(file: FileHandle, size: number): Promise<number> {
  const block = Buffer.alloc(LOG_BLOCK_BYTES);
  const zeros = Buffer.alloc(LOG_BLOCK_BYTES);
  for (let end = size; end > 0; end -= LOG_BLOCK_BYTES) {
    const start = Math.max(0, end - LOG_BLOCK_BYTES);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    if (!block.subarray(0, bytesRead).equals(zeros.subarray(0, bytesRead))) return end;
  }
  return 0;
}

async function readTemplate(template: string): Promise<Template> {
  return { data: join(template, 'data'), password: await readFile(join(template, PASSWORD_FILE), 'utf8') };
}

/** A new directory for one cluster, guarded, in memory if there is room, writable for `account`. */
export async function clusterDirectory(account: Account | undefined, watchdog: Watchdog): Promise<string> {
  const free = await statfs(SHARED_MEMORY).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  );
  let parent = free >= SHARED_MEMORY_NEEDED_BYTES ? SHARED_MEMORY : tmpdir();
  if (account && !(await isOpenToAll(parent))) parent = '/tmp';
  const directory = join(parent, `pg-ladder-${randomBytes(6).toString('hex')}`);
  watchdog.guard(directory); // before it exists
  await mkdir(directory, { mode: 0o700 });
  if (account) await run('chown', [`${account.uid}:${account.gid}`, directory]);
  return directory;
}

/** Removes a cluster's directory. */
export async function removeDirectory(directory: string): Promise<void> {
  // By far the quickest way for thousands of files. What it leaves, or where there is none, goes
  // one by one.
  await run('rm', ['-rf', directory]).catch(() => {});
  await rm(directory, { recursive: true, force: true, maxRetries: 5 });
}

/** Copies a template to `target`, as `account`, and gives it `systemIdentifier`. */
export async function copyTemplate(
  template: string,
  target: string,
  systemIdentifier: bigint,
  account: Account | undefined,
): Promise<void> {
  await run('cp', ['-R', template, target], { ...account, cwd: '/' });
  await run('chmod', ['700', target]);
  await setSystemIdentifier(target, systemIdentifier);
  await appendFile(join(target, 'postgresql.conf'), `\ninclude_if_exists '${SETTINGS_FILE}'\n`);
}

/** Writes the settings that a node is started with; ALTER SYSTEM goes over them. */
export async function writeSettings(directory: string, settings: Settings): Promise<void> {
  await writeFile(join(directory, SETTINGS_FILE), formatSettings(settings));
}

/** Writes a file that the server itself must be able to write to. */
export async function addFile(path: string, content: string, account: Account | undefined): Promise<void> {
  await writeFile(path, content, { mode: 0o600 });
  if (account) await chown(path, account.uid, account.gid);
}

/** Lines for postgresql.conf. */
export function formatSettings(settings: Settings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${formatSetting(value).replaceAll("'", "''")}'\n`)
    .join('');
}

/** One value as PostgreSQL reads it. */
export function formatSetting(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
}

/** A directory that only this user can write to; what is in it may be trusted. */
async function cacheDirectory(): Promise<string> {
  const user = process.getuid?.() ?? 0;
  const base = user === 0 && !(await isOpenToAll(tmpdir())) ? '/tmp' : tmpdir();
  const directory = join(base, `pg-ladder-${user}`);
  await mkdir(directory).then(
    () => chmod(directory, 0o755), // whatever the umask
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    },
  );
  const found = await lstat(directory);
  if (found.isDirectory() && found.uid === user && (found.mode & 0o022) === 0) return directory;
  throw new TestBackendError(
    'LADDER_TEST_START_FAILED',
    `Expected ${directory} to be a directory that only its owner, user ${user}, can write to. Remove it.`,
  );
}

async function hasAllLinks(root: string): Promise<boolean> {
  const list = await readFile(join(root, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(list) as { target: string }[];
  return (await Promise.all(links.map(({ target }) => exists(join(dirname(root), target))))).every(Boolean);
}

/** Whether a user without any rights of its own can read `path`. */
async function isOpenToAll(path: string): Promise<boolean> {
  for (let each = path; ; each = dirname(each)) {
    const { mode } = await stat(each);
    const needed = each === path ? 0o005 : 0o001;
    if ((mode & needed) !== needed) return false;
    if (each === dirname(each)) return true;
  }
}

async function moveIntoPlace(from: string, to: string): Promise<void> {
  // Another process may have been faster: its result is as good.
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST' && error.code !== 'ENOTEMPTY') throw error;
    return rm(from, { recursive: true, force: true });
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
