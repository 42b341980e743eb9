/**
 * What a source that hears notifications asks the primary. Each answer tells a position, read after
 * the snapshot by which the catalogue was read.
 */
import { type Lsn, normaliseLsn, parseLsn, type WalLayout } from '../freshness/lsn.js';
import { InvalidAnswer } from '../postgres/errors.js';
import { own } from '../postgres/own-statements.js';
import { SCHEMA } from './installation.js';
import { CHANGES_CHANNEL, CHANGES_FUNCTION, CHANGES_TRIGGER, WATERMARKS_CHANNEL } from './names.js';
import { NOTIFY_BODY, NOTIFY_TYPE } from './notify-triggers.js';

/** How long a statement waits for a lock: commits that notify wait for each other, and all for one that waits for a standby. */
const LOCK_MILLIS = 1_000;
/** The server ends the connection of a client that is frozen: what it does not read, the queue keeps. */
const IDLE_MILLIS = 60_000;
/** That does not end one that is stuck in sending to such a client; this does. A full queue fails the commits of others. */
const UNREAD_MILLIS = 10_000;

const SETTINGS: Readonly<Record<string, string>> = {
  lock_timeout: `${LOCK_MILLIS}`,
  statement_timeout: '0',
  idle_session_timeout: `${IDLE_MILLIS}`,
  tcp_user_timeout: `${UNREAD_MILLIS}`,
  // A watermark is worth no wait for a standby. It is flushed: a crash must not take back what was reached.
  synchronous_commit: 'local',
  default_transaction_isolation: 'read committed',
};

export const NOTIFY_SETTINGS = own(
  `select ${Object.entries(SETTINGS)
    .map(([name, value]) => `pg_catalog.set_config('${name}', '${value}', false)`)
    .join(', ')}`,
);

/** @param watermarks the channel of this connection alone: letters, digits and `_` */
export function listenOn(watermarks: string): string {
  return [CHANGES_CHANNEL, WATERMARKS_CHANNEL, watermarks].map((channel) => own(`listen ${channel}`)).join('; ');
}

/** Who answers, and how its log is laid out. */
export const NOTIFY_SERVER = own(`select in_recovery,
  (select pg_catalog.concat(system_identifier) from pg_catalog.pg_control_system()) as cluster_id,
  case when not in_recovery then pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) end as wal_file,
  pg_catalog.current_setting('wal_block_size') as block_bytes,
  pg_catalog.concat(pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))) as segment_bytes
  from pg_catalog.pg_is_in_recovery() as in_recovery`);

const LSN = 'pg_catalog.concat(pg_catalog.pg_current_wal_insert_lsn()) as lsn';

/** Notifies this connection, and all that listen, when it commits. The position is read before. @param number tells one from the next */
export function watermark(channel: string, number: number): string {
  return own(`select ${LSN}, pg_catalog.concat(pg_catalog.pg_notify('${channel}', '${number}'),
    pg_catalog.pg_notify('${WATERMARKS_CHANNEL}', '')) as notified`);
}

/** By which rows of the catalogue, and in which version of each, tables are covered. @param oids of type `oid[]` */
function stampOf(oids: string): string {
  return `(select pg_catalog.concat(pg_catalog.count(*), ':', pg_catalog.sum(pg_catalog.hashtextextended(version, 0))) from (
    select pg_catalog.concat('t ', t.oid, ' ', t.xmin, ' ', f.xmin) as version from pg_catalog.pg_trigger t
      left join pg_catalog.pg_proc f on f.oid operator(pg_catalog.=) t.tgfoid
      where t.tgrelid operator(pg_catalog.=) any (${oids}) and t.tgname operator(pg_catalog.=) '${CHANGES_TRIGGER}'
    union all select pg_catalog.concat('c ', c.oid, ' ', c.relname, ' ', c.relpersistence, ' ', n.nspname) from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
      where c.oid operator(pg_catalog.=) any (${oids})
    union all select pg_catalog.concat('i ', i.inhrelid, ' ', i.inhparent, ' ', i.xmin) from pg_catalog.pg_inherits i
      where i.inhrelid operator(pg_catalog.=) any (${oids}) or i.inhparent operator(pg_catalog.=) any (${oids})
    union all select pg_catalog.concat('s ', s.srrelid) from pg_catalog.pg_subscription_rel s
      where s.srrelid operator(pg_catalog.=) any (${oids})) as versions) as stamp`;
}

/** Where the log ends, and whether what covers these tables is still the same. */
export function lookAt(oids: readonly number[]): string {
  return own(`select ${LSN}, ${stampOf(`'{${oids.join(',')}}'::pg_catalog.oid[]`)}`);
}

/** As {@link COVERAGE} answers. A server may answer anything. */
export type CoverageRow = Partial<Record<'lsn' | 'stamp' | 'relations' | 'edges', unknown>>;

/** All tables that have the trigger, or a parent or a child; what is between these; and what {@link lookAt} tells of them. */
export const COVERAGE = own(`select lsn, stamp, relations, edges from (with relation as materialized (
    select c.oid, pg_catalog.json_build_array(c.oid, n.nspname, c.relname,
      c.relkind operator(pg_catalog.=) 'f' or c.relpersistence operator(pg_catalog.<>) 'p'
        or exists (select 1 from pg_catalog.pg_subscription_rel s where s.srrelid operator(pg_catalog.=) c.oid),
      t.oid is not null,
      coalesce(t.tgenabled operator(pg_catalog.=) 'A' and t.tgtype operator(pg_catalog.=) ${NOTIFY_TYPE}::pg_catalog.int2
        and t.tgqual is null and pg_catalog.concat(t.tgattr) operator(pg_catalog.=) ''
        and f.proname operator(pg_catalog.=) '${CHANGES_FUNCTION}' and s.nspname operator(pg_catalog.=) '${SCHEMA}'
        and f.prosrc operator(pg_catalog.=) '${NOTIFY_BODY.replaceAll("'", "''")}', false)) as told
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    left join pg_catalog.pg_trigger t on t.tgrelid operator(pg_catalog.=) c.oid and t.tgname operator(pg_catalog.=) '${CHANGES_TRIGGER}'
    left join pg_catalog.pg_proc f on f.oid operator(pg_catalog.=) t.tgfoid
    left join pg_catalog.pg_namespace s on s.oid operator(pg_catalog.=) f.pronamespace
    where c.relkind operator(pg_catalog.=) any (array['r', 'p', 'f']::pg_catalog."char"[])
      and (t.oid is not null
        or exists (select 1 from pg_catalog.pg_inherits i where i.inhrelid operator(pg_catalog.=) c.oid)
        or exists (select 1 from pg_catalog.pg_inherits i where i.inhparent operator(pg_catalog.=) c.oid)))
  select ${LSN}, ${stampOf('array(select oid from relation)')},
    (select pg_catalog.concat(pg_catalog.json_agg(told order by oid)) from relation) as relations,
    (select pg_catalog.concat(pg_catalog.json_agg(pg_catalog.json_build_array(i.inhrelid, i.inhparent)))
      from pg_catalog.pg_inherits i join relation on relation.oid operator(pg_catalog.=) i.inhrelid) as edges) as coverage`);

/** @throws InvalidAnswer */
export function positionOf(text: unknown, layout: WalLayout): Lsn {
  const lsn = parseLsn(String(text));
  if (lsn === undefined) throw new InvalidAnswer('it tells no position');
  return normaliseLsn(lsn, layout);
}
