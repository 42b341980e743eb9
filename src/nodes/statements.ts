/**
 * Every statement that the library sends by itself. PostgreSQL 14 and later, an ordinary login role is enough for all of
 * them. Names are qualified, because the user's search_path is not ours to trust.
 */

/** What stays the same as long as a connection lives; asked once on each. */
export const IDENTITY = `select
  (select system_identifier::text from pg_catalog.pg_control_system()) as cluster_id,
  (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint::text as started_at,
  pg_catalog.current_setting('server_version_num')::int as version,
  pg_catalog.current_setting('wal_block_size')::int as block_bytes,
  pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::int as segment_bytes,
  pg_catalog.pg_backend_pid() as pid`;

/**
 * Role and position. The role is read first and with the position, every time: a promoted server still tells the replay LSN at
 * which it was promoted, a primary that never was a replica tells none.
 */
export const PROBE = `select in_recovery, pg_catalog.pg_last_wal_replay_lsn()::text as replay_lsn,
  case when not in_recovery then pg_catalog.pg_current_wal_insert_lsn()::text end as insert_lsn,
  case when not in_recovery then pg_catalog.pg_current_wal_flush_lsn()::text end as flush_lsn,
  case when not in_recovery then pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) end as wal_file
  from pg_catalog.pg_is_in_recovery() as in_recovery`;

/** The role alone, for servers that tell no positions: they all stand at 0 then, and nothing is dated. */
export const PROBE_ROLE = `select in_recovery, '0/0' as replay_lsn, '0/0' as insert_lsn, '0/0' as flush_lsn, '00000001' as wal_file
  from pg_catalog.pg_is_in_recovery() as in_recovery`;

/** The timeline that a replica is shown to be on; the first is hidden without `pg_read_all_stats`, the second may be seconds late. */
export const REPLICA_TIMELINE = `select coalesce(
  (select received_tli from pg_catalog.pg_stat_wal_receiver),
  (select min_recovery_end_timeline from pg_catalog.pg_control_recovery())) as timeline`;

/**
 * Makes the primary flush its log when a floor lies above what it has flushed: replicas are sent flushed log only, and nothing
 * else may flush for a while (a commit with `synchronous_commit = off`, another session's open transaction).
 * @param lsn formatted by us, so safe to stand in the text
 * @param version `server_version_num`
 */
export function nudge(lsn: string, version: number): string {
  const unflushed = `where pg_catalog.pg_current_wal_flush_lsn() < '${lsn}'::pg_catalog.pg_lsn`;
  if (version >= 170000) return `select pg_catalog.pg_logical_emit_message(false, 'pg-ladder', '', true) ${unflushed}`;
  // Before 17 a message cannot ask for a flush, but the commit of a transactional one does; it need not wait for standbys.
  return `set local synchronous_commit = local; select pg_catalog.pg_logical_emit_message(true, 'pg-ladder', '') ${unflushed}`;
}

/** Which transactions a server shows: all below the first number but those listed; a replica lists none. */
export const SNAPSHOT = `select pg_catalog.pg_snapshot_xmax(snapshot)::text as next,
  array(select xid::text from pg_catalog.pg_snapshot_xip(snapshot) as xid) as unfinished
  from pg_catalog.pg_current_snapshot() as snapshot`;

/** Those of the given ones that a replica shows as committed. */
export const COMMITTED_AMONG = `select xid::text as xid from pg_catalog.unnest($1::pg_catalog.xid8[]) as xid
  where pg_catalog.pg_xact_status(xid) = 'committed'`;

/** Stops what a backend is running; allowed for backends of the same role. */
export const CANCEL_BACKEND = 'select pg_catalog.pg_cancel_backend($1)';

/** One row while the backend with that process id exists. */
export const BACKEND_ALIVE = 'select 1 from pg_catalog.pg_stat_activity where pid = $1';

/** Whether anything of this role goes on that began before a moment of the server's own clock; that clock, for who has no moment yet. */
export const OLDER_WORK = `select pg_catalog.clock_timestamp()::text as now,
  case when $1::pg_catalog.timestamptz is not null then exists (select 1 from pg_catalog.pg_stat_activity
    where usename = session_user and pid <> pg_catalog.pg_backend_pid() and xact_start <= $1::pg_catalog.timestamptz) end as goes_on`;

/** Lowers the bound on a statement's duration to so many milliseconds, unless it is lower already; tells whether it was lowered. */
export const CAP_STATEMENTS = `select setting::int not between 1 and $1::int as is_capped,
  pg_catalog.set_config(name, case when setting::int between 1 and $1::int then setting else $1::int::text end, false)
  from pg_catalog.pg_settings where name = 'statement_timeout'`;
