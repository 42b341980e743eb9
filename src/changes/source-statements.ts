/** What is sent to the server whose log is read, beside commands of replication. */
import { own } from '../postgres/own-statements.js';

/** The server lets go of a client that is silent for so long, and with it of its slot and its lock. */
export function sessionSettings(millis: number): string {
  const names = ['wal_sender_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout'];
  return own(`select ${names.map((name) => `pg_catalog.set_config('${name}', '${millis}', false)`).join(', ')}`);
}

/** A server that waits for others looks after its client meanwhile. */
export const WATCH_CLIENT = own("select pg_catalog.set_config('client_connection_check_interval', '1000', false)");

/** What {@link SERVER} answers. */
export type ServerRow = Partial<Record<'in_recovery' | 'version' | 'feedback', unknown>>;

export const SERVER = own(`select pg_catalog.pg_is_in_recovery() as in_recovery,
  pg_catalog.current_setting('server_version_num') as version, pg_catalog.current_setting('hot_standby_feedback') as feedback`);

/** Takes the lock, if it is free. @param key of 64 bits, signed */
export function takeLock(key: bigint): string {
  return own(`select pg_catalog.pg_try_advisory_lock('${key}'::pg_catalog.int8) as is_held`);
}

/** One row while somebody has the lock. */
export function lockHolder(key: bigint): string {
  const bits = BigInt.asUintN(64, key);
  return own(`select 1 from pg_catalog.pg_locks as held
    where locktype operator(pg_catalog.=) 'advisory' and granted and objsubid operator(pg_catalog.=) 1
      and classid operator(pg_catalog.=) ${bits >> 32n}::pg_catalog.oid and objid operator(pg_catalog.=) ${bits & 0xffffffffn}::pg_catalog.oid
      and database operator(pg_catalog.=) (select oid from pg_catalog.pg_database
        where datname operator(pg_catalog.=) pg_catalog.current_database())`);
}

/** Transactions that have written, and not ended. A snapshot does not list those above the newest that has ended. */
export const UNFINISHED = own(`select pg_catalog.concat(transactionid) as xid from pg_catalog.pg_locks
  where locktype operator(pg_catalog.=) 'transactionid' and mode operator(pg_catalog.=) 'ExclusiveLock' and granted`);

/** Makes an idle primary tell its standbys what is under way. From 16 on, and for whom it is granted to. */
export const LOG_STANDBY_SNAPSHOT = own('select pg_catalog.concat(pg_catalog.pg_log_standby_snapshot())');
/** Where it is not granted: something to write, so that the primary does it by itself within 15 s. */
export const WRITE_SOMETHING = own(
  "select pg_catalog.concat(pg_catalog.pg_logical_emit_message(false, 'pg-ladder', ''))",
);

/** A publication's name, as a command of replication takes a list of them. */
export function quotedName(name: string): string {
  return `'${`"${name.replaceAll('"', '""')}"`.replaceAll("'", "''")}'`;
}
