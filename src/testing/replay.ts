// How far a standby has replayed, and how to hold it there: the SQL behind it, for one connection
// each. Resolves on what the server says, never on what it was told.
import { type Ask, until } from './control.js';
import { TestBackendError } from './error.js';

// The insert position reads past the page header when the last record ends exactly on a page (24
// bytes, 40 on the first page of a segment); a replica stays at the boundary until the next record
// comes.
const POSITION = `case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else (
  with place as (
    select lsn, lsn - '0/0'::pg_lsn as bytes, pg_size_bytes(current_setting('wal_block_size')) as page,
      pg_size_bytes(current_setting('wal_segment_size')) as segment
    from pg_current_wal_insert_lsn() as lsn
  )
  select case when bytes % segment = 40 then lsn - 40 when bytes % page = 24 then lsn - 24 else lsn end from place
) end`;

/** Where the server's log ends: what a primary has written, what a standby has replayed. */
export async function position(ask: Ask): Promise<string> {
  const [row] = await ask<{ lsn: string }>(`select concat(${POSITION}) as lsn`);
  return row?.lsn || '0/0';
}

/** Pauses replay; resolves when it is paused. */
export async function pause(ask: Ask, name: string): Promise<void> {
  await ask('select pg_wal_replay_pause()');
  const [delay] = await ask<{ millis: string }>(
    "select setting as millis from pg_settings where name = 'recovery_min_apply_delay'",
  );
  await until(async () => (await pauseState(ask)) === 'paused', {
    what: `${name} to pause replay`,
    timeoutMillis: 10_000 + Number(delay?.millis ?? 0), // a commit that is being delayed comes first
  });
}

/** Resumes replay; resolves when the server no longer pauses. */
export async function resume(ask: Ask, name: string): Promise<void> {
  await ask('select pg_wal_replay_resume()');
  await until(async () => (await pauseState(ask)) === 'not paused', { what: `${name} to resume replay` });
}

/** Resolves when the standby has replayed up to `target`. */
export async function reach(ask: Ask, name: string, target: string, timeoutMillis: number): Promise<void> {
  let replayed: string | undefined;
  const check = async () => {
    const [row] = await ask<{ done: boolean | null; replayed: string }>(
      'select concat(lsn) as replayed, lsn >= $1::pg_lsn as done from pg_last_wal_replay_lsn() as lsn',
      [target],
    );
    replayed = row?.replayed;
    return row?.done ?? false;
  };
  await until(check, { what: 'replay', timeoutMillis }).catch((error: unknown) => {
    if (!(error instanceof TestBackendError)) throw error;
    throw new TestBackendError(
      'LADDER_TEST_TIMEOUT',
      `Waited ${timeoutMillis} ms for ${name} to replay up to ${target}; it is at ${replayed || 'no position'}.`,
    );
  });
}

async function pauseState(ask: Ask): Promise<string | undefined> {
  const [row] = await ask<{ state: string }>('select pg_get_wal_replay_pause_state() as state');
  return row?.state;
}
