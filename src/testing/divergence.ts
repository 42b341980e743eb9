// Whether a standby can go on by streaming from a server, or has log that is not in that server's
// history. PostgreSQL itself does not always notice: a standby that received more than the promoted
// one had may replay it and stream on. Pure but for the questions it asks; changes nothing.
import type { Ask } from './control.js';

/** The timeline that a server writes or receives; undefined for a standby without a receiver. */
export async function timelineOf(ask: Ask): Promise<number | undefined> {
  const [row] = await ask<{ received: number | null; file: string | null }>(
    `select (select received_tli from pg_stat_wal_receiver) as received,
     case when not pg_is_in_recovery() then pg_walfile_name(pg_current_wal_lsn()) end as file`,
  );
  return row?.file ? timelineIn(row.file) : (row?.received ?? undefined);
}

/**
 * Whether the log of `standby` goes past the point where the history of `source` left its timeline.
 */
export async function hasDiverged(standby: Ask, source: Ask): Promise<boolean> {
  const sourceTimeline = await timelineOf(source);
  const [at] = await standby<{ file: string; lsn: string }>(
    `select (select max(substr(name, 1, 8)) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}') as file,
     concat(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())) as lsn`,
  );
  if (at === undefined || sourceTimeline === undefined) return false;
  const timeline = timelineIn(at.file);
  if (timeline === sourceTimeline) return false;
  const file = `pg_wal/${sourceTimeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  // Each line: a timeline, the position where it was left, the reason.
  const [history] = await source<{ text: string | null }>('select pg_read_file($1, 0, 1000000, true) as text', [file]);
  const fork = new RegExp(`^${timeline}\\t([0-9A-F]+/[0-9A-F]+)`, 'm').exec(history?.text ?? '')?.[1];
  return fork === undefined || isPast(at.lsn, fork);
}

/** The first eight digits of a log file's name. */
function timelineIn(file: string): number {
  return Number.parseInt(file.slice(0, 8), 16);
}

function isPast(lsn: string, limit: string): boolean {
  const [a, b] = [lsn, limit].map((text) =>
    BigInt(`0x${text.replace(/[0-9A-F]+$/, (low) => low.padStart(8, '0')).replace('/', '')}`),
  );
  return a !== undefined && b !== undefined && a > b;
}
