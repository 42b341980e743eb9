/**
 * Every statement that the library sends by itself. PostgreSQL 14 and later, an ordinary login role is enough for all of them.
 *
 * They run with the application's rights, so no other role may get its code called by them. All names are qualified, operators too: an operator in
 * a schema of the search path can beat pg_catalog's. IN, BETWEEN, LIKE and CASE x WHEN look operators up by name, so they are not used. A cast
 * that goes through text can be replaced by one of a user's: `concat` prints any type by its own output function.
 */

/** By it the server's log and its statistics tell the library's statements from the application's. */
const MARK = '/* pg-ladder */';

/** The text on one line, and marked at its end: it begins with what it does. No part of it may hold a line break in quotes. */
export function own(text: string): string {
  return `${text.trim().replace(/\s+/g, ' ')} ${MARK}`;
}

/** What stays the same as long as a connection lives; asked once on each. */
export const IDENTITY = own(`select
  (select pg_catalog.concat(system_identifier) from pg_catalog.pg_control_system()) as cluster_id,
  pg_catalog.concat((extract(epoch from pg_catalog.pg_postmaster_start_time()) operator(pg_catalog.*) 1000000)::bigint) as started_at,
  pg_catalog.current_setting('port', true) as port,
  pg_catalog.current_setting('server_version_num') as version,
  pg_catalog.current_setting('wal_block_size') as block_bytes,
  pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::int as segment_bytes,
  pg_catalog.pg_backend_pid() as pid`);

/** What decides how a connection writes its answers: database, roles, and the settings of the given names. */
export const ANSWER_SETTINGS = own(`select
  array[pg_catalog.concat(pg_catalog.current_database()), (select pg_catalog.concat(oid) from pg_catalog.pg_database
    where datname operator(pg_catalog.=) pg_catalog.current_database())] as database,
  array[pg_catalog.concat(current_user), pg_catalog.concat(session_user)] as roles,
  array(select pg_catalog.concat(setting, '=', pg_catalog.current_setting(setting, true))
    from pg_catalog.unnest($1::pg_catalog.text[]) as setting) as settings`);

/**
 * Role and position. The role is read first and with the position, every time: a promoted server still tells the replay LSN at
 * which it was promoted, a primary that never was a replica tells an empty one.
 */
export const PROBE = own(`select in_recovery, pg_catalog.concat(pg_catalog.pg_last_wal_replay_lsn()) as replay_lsn,
  case when not in_recovery then pg_catalog.concat(pg_catalog.pg_current_wal_insert_lsn()) end as insert_lsn,
  case when not in_recovery then pg_catalog.concat(pg_catalog.pg_current_wal_flush_lsn()) end as flush_lsn,
  case when not in_recovery then pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) end as wal_file
  from pg_catalog.pg_is_in_recovery() as in_recovery`);

/**
 * Where the log of a server ends that has just committed a write: it is the primary, and its timeline is known.
 * Sent behind the write, so as short as can be.
 */
export const INSERT_POSITION = own('select pg_catalog.concat(pg_catalog.pg_current_wal_insert_lsn())');
/** The same, where every commit is flushed before it is acknowledged. */
export const FLUSH_POSITION = own('select pg_catalog.concat(pg_catalog.pg_current_wal_flush_lsn())');

/** The role alone, for servers that tell no positions: they all stand at 0 then, and nothing is dated. */
export const PROBE_ROLE =
  own(`select in_recovery, '0/0' as replay_lsn, '0/0' as insert_lsn, '0/0' as flush_lsn, '00000001' as wal_file
  from pg_catalog.pg_is_in_recovery() as in_recovery`);

/**
 * The timeline that a replica is shown to be on; the first is hidden without `pg_read_all_stats`, the second may be minutes
 * late. And whether the role may ask for it by a connection for replication.
 */
export const REPLICA_TIMELINE = own(`select coalesce(
  (select received_tli from pg_catalog.pg_stat_wal_receiver),
  (select min_recovery_end_timeline from pg_catalog.pg_control_recovery())) as timeline,
  (select rolreplication from pg_catalog.pg_roles where rolname operator(pg_catalog.=) session_user) as may_replicate`);

/**
 * What a replica has received by streaming, and how far it has replayed. The receiver comes first: what the server showed when
 * it was looked at is within what had been received then, or replayed by the time of the question behind it. `status` and
 * `timeline` are hidden without `pg_read_all_stats`; all is empty where no receiver runs.
 */
export const RECEIVED = own(`select status, received_tli as timeline, pg_catalog.concat(flushed_lsn) as received_lsn,
  pg_catalog.concat(pg_catalog.pg_last_wal_replay_lsn()) as replay_lsn, pg_catalog.pg_is_in_recovery() as in_recovery
  from pg_catalog.pg_stat_get_wal_receiver()`);

/**
 * Makes the primary flush its log when a floor lies above what it has flushed: replicas are sent flushed log only, and nothing
 * else may flush for a while (a commit with `synchronous_commit = off`, another session's open transaction).
 * @param lsn formatted by us, so safe to stand in the text
 * @param version `server_version_num`
 */
export function nudge(lsn: string, version: number): string {
  const unflushed = `where pg_catalog.pg_current_wal_flush_lsn() operator(pg_catalog.<) '${lsn}'::pg_catalog.pg_lsn`;
  if (version >= 170000)
    return own(`select pg_catalog.pg_logical_emit_message(false, 'pg-ladder', '', true) ${unflushed}`);
  // Before 17 a message cannot ask for a flush, but the commit of a transactional one does; it need not wait for standbys.
  return own(`select pg_catalog.pg_logical_emit_message(true, 'pg-ladder', '')
    from pg_catalog.set_config('synchronous_commit', 'local', true) ${unflushed}`);
}

/** Which transactions a server shows: all below the first number but those listed; a replica lists none. */
export const SNAPSHOT = own(`select pg_catalog.concat(pg_catalog.pg_snapshot_xmax(snapshot)) as next,
  array(select pg_catalog.concat(xid) from pg_catalog.pg_snapshot_xip(snapshot) as xid) as unfinished
  from pg_catalog.pg_current_snapshot() as snapshot`);

/** Those of the given ones that a replica shows as committed. */
export const COMMITTED_AMONG =
  own(`select pg_catalog.concat(xid) as xid from pg_catalog.unnest($1::pg_catalog.xid8[]) as xid
  where pg_catalog.pg_xact_status(xid) operator(pg_catalog.=) 'committed'`);

/** Stops what a backend is running; allowed for backends of the same role. */
export const CANCEL_BACKEND = own('select pg_catalog.pg_cancel_backend($1)');

/** One row while the backend with that process id exists. */
export const BACKEND_ALIVE = own(
  'select 1 from pg_catalog.pg_stat_activity where pid operator(pg_catalog.=) $1::pg_catalog.int4',
);

/** Those of the given backends that run something, or may; and whether they wait for their client to take what they send. */
export const BACKENDS_RUNNING =
  own(`select pid, coalesce(wait_event operator(pg_catalog.=) 'ClientWrite', false) as is_sending
  from pg_catalog.pg_stat_activity
  where pid operator(pg_catalog.=) any ($1::pg_catalog.int4[])
    and coalesce(pg_catalog."left"(state, 4) operator(pg_catalog.<>) 'idle', true)`);

/** Whether anything of this role goes on that began before a moment of the server's own clock; that clock, for who has no moment yet. */
export const OLDER_WORK = own(`select pg_catalog.concat(pg_catalog.clock_timestamp()) as now,
  case when $1::pg_catalog.timestamptz is not null then exists (select 1 from pg_catalog.pg_stat_activity
    where usename operator(pg_catalog.=) session_user and pid operator(pg_catalog.<>) pg_catalog.pg_backend_pid()
      and xact_start operator(pg_catalog.<=) $1::pg_catalog.timestamptz) end as goes_on`);

/** Lowers the bound on a statement's duration to so many milliseconds, unless it is lower already; tells whether it was lowered. */
export const CAP_STATEMENTS = own(`select not is_low as is_capped,
  pg_catalog.set_config(name, case when is_low then setting else pg_catalog.concat($1::pg_catalog.int4) end, false)
  from (select name, setting, millis operator(pg_catalog.>) 0 and millis operator(pg_catalog.<=) $1::pg_catalog.int4 as is_low
    from pg_catalog.pg_settings, pg_catalog.to_number(setting, '9999999999') as millis
    where name operator(pg_catalog.=) 'statement_timeout') as found`);

/** A server that waits for others looks after its client meanwhile. */
export const WATCH_CLIENT = own("select pg_catalog.set_config('client_connection_check_interval', '1000', false)");

/** Begins a transaction of the library's own, or of `transaction()`. @param modes such as `read only` */
export function begin(...modes: string[]): string {
  return own(`begin ${modes.join(' ')}`);
}

export const BEGIN_READ_ONLY = begin('read only');
export const COMMIT = own('commit');
export const ROLLBACK = own('rollback');
/** Where the transaction was begun by a user's text, on another server than it expects. */
export const SET_READ_ONLY = own('set transaction read only');

/** Savepoints of one name lie on top of each other, the newest in reach: no need to number them. */
export const SAVEPOINT = own('savepoint ladder');
export const RELEASE_SAVEPOINT = own('release savepoint ladder');
export const UNDO_SAVEPOINT = `${own('rollback to savepoint ladder')}; ${RELEASE_SAVEPOINT}`;

/** {@link IDENTITY} where a standby refuses all that is SERIALIZABLE; then the same for all that follows. */
export const IDENTITY_RELAXED = `${own('set transaction isolation level repeatable read')}; ${IDENTITY}`;
export const RELAX_ALL = own("set default_transaction_isolation = 'repeatable read'");
