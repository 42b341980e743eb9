// Copies a running local server's data directory to another node, by PostgreSQL's low-level backup
// calls. Exists because the embedded binaries have no pg_basebackup and no pg_rewind. Never starts
// or stops anything.
import { execFile } from 'node:child_process';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Ask, type Login, withConnection } from './control.js';
import { type Account, addFile } from './data-directory.js';

const run = promisify(execFile);

/** Files of a node that stay its own when its data is replaced. */
const OWN_FILES = ['postgresql.auto.conf'];

/** Directories whose content belongs to the server that was copied. */
const NOT_COPIED = [
  'pg_replslot',
  'pg_dynshmem',
  'pg_stat_tmp',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_subtrans',
];

/** What must be known of the server that is copied. */
export interface CopySource extends Login {
  readonly directory: string;
}

/**
 * Replaces `target`, the data directory of a server that is down, by a copy of a running primary's.
 */
export async function copyRunningServer(
  source: CopySource,
  target: string,
  account: Account | undefined,
): Promise<void> {
  const own = await Promise.all(OWN_FILES.map((file) => readFile(join(target, file))));
  const fresh = `${target}.new`;
  await withConnection(source, async (ask) => {
    const finish = await beginBackup(ask);
    // Files may vanish or change meanwhile: the log from the backup's start on repairs what
    // matters.
    await run('cp', ['-R', source.directory, fresh], { ...account, cwd: '/' }).catch(() => {});
    await addFile(join(fresh, 'backup_label'), await finish(), account);
  });
  await rm(target, { recursive: true, force: true });
  await rename(fresh, target);
  await run('chmod', ['700', target]);
  await Promise.all(['postmaster.pid', 'postmaster.opts'].map((file) => rm(join(target, file), { force: true })));
  await Promise.all(NOT_COPIED.map((name) => empty(join(target, name))));
  await empty(join(target, 'pg_wal'), /^[0-9A-F]{24}(\.partial)?$/); // a segment in use may be torn; they are streamed
  await Promise.all(OWN_FILES.map((file, index) => writeFile(join(target, file), own[index] ?? '')));
}

/**
 * Begins a backup on this connection; the function returned ends it and gives the label file's
 * content.
 */
async function beginBackup(ask: Ask): Promise<() => Promise<string>> {
  const [server] = await ask<{ number: string }>("select current_setting('server_version_num') as number");
  const modern = Number(server?.number) >= 150_000;
  await ask(modern ? "select pg_backup_start('pg-ladder', true)" : "select pg_start_backup('pg-ladder', true, false)");
  return async () => {
    const stop = modern ? 'pg_backup_stop(false)' : 'pg_stop_backup(false, false)';
    const [label] = await ask<{ labelfile: string }>(`select labelfile from ${stop}`);
    return label?.labelfile ?? '';
  };
}

async function empty(directory: string, name = /./): Promise<void> {
  const entries = await readdir(directory).catch(() => []);
  const victims = entries.filter((entry) => name.test(entry));
  await Promise.all(victims.map((entry) => rm(join(directory, entry), { recursive: true, force: true })));
}
