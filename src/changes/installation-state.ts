/**
 * What a server has of the set-up of the change stream: settings, rights, the publication and its tables.
 * It asks, and judges nothing. Texts of other sessions are never read.
 */
import { InvalidAnswer } from '../postgres/errors.js';
import { own } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import { DEFINITION_TRIGGERS } from './names.js';
import type { TableName } from './table-names.js';

/** What asks a server, such as a client of `pg`. */
export interface Asking {
  query(asked: ReturnType<typeof question>): Promise<{ readonly rows: unknown[] }>;
}

export interface ServerState {
  readonly version: number;
  readonly inRecovery: boolean;
  readonly walLevel: string;
  /** From 19 on. */
  readonly effectiveWalLevel: string | null;
  readonly role: string;
  readonly mayReplicate: boolean;
  /** Roles that managed services have. */
  readonly serviceRoles: readonly string[];
  readonly slotsMax: number;
  readonly slotCount: number;
  readonly sendersMax: number;
  readonly senderCount: number;
  /** In megabytes; -1: without a bound. */
  readonly slotKeepSize: number;
  readonly standbyFeedback: boolean;
  /** Of the oldest transaction that has written and goes on; `null`: there is none, or it is not shown to this role. */
  readonly oldestWriteSeconds: number | null;
  readonly oldestWritePid: number | null;
  /** Transactions that have written, and whose age is not shown to this role. */
  readonly hiddenWriteCount: number;
  /** Whether event triggers fire; from 17 on they can be off for all. */
  readonly firesEventTriggers: boolean;
  /** By name: `O`, `A`, `R` or `D`, as `pg_event_trigger.evtenabled`. */
  readonly triggers: Readonly<Record<string, string>>;
  readonly publication: PublicationFacts | null;
}

export interface PublicationFacts {
  readonly allTables: boolean;
  readonly hasAllOperations: boolean;
  readonly byRoot: boolean;
  readonly schemas: readonly string[];
  /** Those it names itself. */
  readonly tables: readonly { readonly schema: string; readonly name: string; readonly isCut: boolean }[];
}

/** A table that is asked for, or a part of one: a partition or a child. */
export interface TableState extends TableName {
  /** The one that was asked for. */
  readonly root: TableName;
  readonly isChild: boolean;
  /** A partition is published with its table, a child by its own name. */
  readonly isPartition: boolean;
  /** `pg_class.relkind`; `undefined` where there is no such table. */
  readonly kind: string | undefined;
  readonly persistence: string;
  readonly isSystem: boolean;
  /** `d`, `n`, `f` or `i`, as `pg_class.relreplident`. */
  readonly identity: string;
  /** Whether UPDATE and DELETE work once it is published. */
  readonly isIdentified: boolean;
  /** Whether its identity has a generated column. */
  readonly hasGeneratedKey: boolean;
  /** An index that could be its identity. */
  readonly index: string | null;
  readonly hasPrimaryKey: boolean;
}

const SERVICE_ROLES = ['rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin', 'neon_superuser'];
const names = (list: readonly string[]): string => `array['${list.join("', '")}']::pg_catalog.name[]`;

const SERVER = own(`select pg_catalog.concat(pg_catalog.json_build_object(
  'version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
  'inRecovery', pg_catalog.pg_is_in_recovery(),
  'walLevel', pg_catalog.current_setting('wal_level'),
  'effectiveWalLevel', pg_catalog.current_setting('effective_wal_level', true),
  'role', current_user,
  'mayReplicate', (select r.rolreplication or r.rolsuper or exists (select 1 from pg_catalog.pg_roles s
      where s.rolname operator(pg_catalog.=) 'rds_replication' and pg_catalog.pg_has_role(r.oid, s.oid, 'member'))
    from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) current_user),
  'serviceRoles', array(select r.rolname from pg_catalog.pg_roles r
    where r.rolname operator(pg_catalog.=) any (${names(SERVICE_ROLES)})),
  'slotsMax', pg_catalog.current_setting('max_replication_slots')::pg_catalog.int4,
  'slotCount', (select pg_catalog.count(*) from pg_catalog.pg_replication_slots),
  'sendersMax', pg_catalog.current_setting('max_wal_senders')::pg_catalog.int4,
  'senderCount', (select pg_catalog.count(*) from pg_catalog.pg_stat_replication),
  'slotKeepSize', (select s.setting::pg_catalog.int4 from pg_catalog.pg_settings s
    where s.name operator(pg_catalog.=) 'max_slot_wal_keep_size'),
  'standbyFeedback', pg_catalog.current_setting('hot_standby_feedback')::pg_catalog.bool,
  'oldestWriteSeconds', old.seconds, 'oldestWritePid', old.pid,
  'hiddenWriteCount', (select pg_catalog.count(*) from pg_catalog.pg_locks l
    join pg_catalog.pg_stat_activity a on a.pid operator(pg_catalog.=) l.pid and a.xact_start is null
    where l.locktype operator(pg_catalog.=) 'transactionid' and l.granted and l.mode operator(pg_catalog.=) 'ExclusiveLock'),
  'firesEventTriggers', coalesce(pg_catalog.current_setting('event_triggers', true), 'on') operator(pg_catalog.<>) 'off',
  'triggers', (select coalesce(pg_catalog.json_object_agg(t.evtname, t.evtenabled), '{}') from pg_catalog.pg_event_trigger t
    where t.evtname operator(pg_catalog.=) any (${names(DEFINITION_TRIGGERS)})))) as state
  from (select 1) as one left join lateral (
    select pg_catalog.round(extract(epoch from pg_catalog.clock_timestamp() operator(pg_catalog.-) began)::pg_catalog.numeric) as seconds, pid
    from (select a.xact_start as began, l.pid from pg_catalog.pg_locks l
        join pg_catalog.pg_stat_activity a on a.pid operator(pg_catalog.=) l.pid
        where l.locktype operator(pg_catalog.=) 'transactionid' and l.granted
          and l.mode operator(pg_catalog.=) 'ExclusiveLock' and l.pid operator(pg_catalog.<>) pg_catalog.pg_backend_pid()
      union all select p.prepared, null from pg_catalog.pg_prepared_xacts p) as written
    where began is not null order by began limit 1) as old on true`);

/** @param version `server_version_num`: from 15 on there are schemas in publications. */
const publicationQuery = (version: number): string =>
  own(`select pg_catalog.concat(pg_catalog.json_build_object(
  'allTables', p.puballtables, 'hasAllOperations', p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate,
  'byRoot', p.pubviaroot,
  'schemas', ${
    version < 150_000
      ? "'[]'::pg_catalog.json"
      : `array(select n.nspname from pg_catalog.pg_publication_namespace s
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) s.pnnspid where s.pnpubid operator(pg_catalog.=) p.oid)`
  },
  'tables', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('schema', n.nspname, 'name', c.relname,
      'isCut', coalesce(pg_catalog.to_jsonb(r) operator(pg_catalog.->>) 'prqual',
        pg_catalog.to_jsonb(r) operator(pg_catalog.->>) 'prattrs') is not null) order by c.oid), '[]')
    from pg_catalog.pg_publication_rel r
    join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) r.prrelid
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    where r.prpubid operator(pg_catalog.=) p.oid
      and coalesce((pg_catalog.to_jsonb(r) operator(pg_catalog.->>) 'prexcept') operator(pg_catalog.<>) 'true', true)))) as state
  from pg_catalog.pg_publication p where p.pubname operator(pg_catalog.=) $1::pg_catalog.name`);

/** An index that is enough for an identity: what decides is each row's own. */
const USABLE = 'i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null';
/** A generated column in a key is not published by itself, and PostgreSQL then refuses UPDATE. */
const GENERATED = (among: string): string =>
  `exists (select 1 from pg_catalog.pg_attribute a where a.attrelid operator(pg_catalog.=) c.oid
    and a.attnum operator(pg_catalog.>) 0::pg_catalog.int2 and not a.attisdropped
    and a.attgenerated operator(pg_catalog.<>) ''::pg_catalog."char" and ${among})`;
const IN_KEY = 'a.attnum operator(pg_catalog.=) any (i.indkey::pg_catalog.int2[])';

const TABLES = own(`select state from (with recursive asked as (
    select root, c.oid, false as is_child
    from pg_catalog.json_array_elements($1::pg_catalog.json) as root
    left join (pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
        and c.relkind operator(pg_catalog.<>) all (array['i', 'I', 't', 'c']::pg_catalog."char"[]))
      on pg_catalog.concat(n.nspname) operator(pg_catalog.=) (root operator(pg_catalog.->>) 'schema')
      and pg_catalog.concat(c.relname) operator(pg_catalog.=) (root operator(pg_catalog.->>) 'name')
    union all select a.root, h.inhrelid, true from asked a
    join pg_catalog.pg_inherits h on h.inhparent operator(pg_catalog.=) a.oid)
  select pg_catalog.concat(pg_catalog.json_build_object('root', root, 'isChild', is_child,
    'schema', coalesce(pg_catalog.concat(n.nspname), ''), 'name', coalesce(pg_catalog.concat(c.relname), ''),
    'isPartition', c.relispartition, 'kind', c.relkind, 'persistence', c.relpersistence, 'identity', c.relreplident,
    'isSystem', c.oid operator(pg_catalog.<) 16384::pg_catalog.oid,
    'isIdentified', c.relreplident operator(pg_catalog.=) 'f' or coalesce(own_key.is_usable, false),
    'hasGeneratedKey', case when c.relreplident operator(pg_catalog.=) 'f' then ${GENERATED('true')}
      else coalesce(own_key.is_generated, false) end,
    'index', (select x.relname from pg_catalog.pg_index i
      join pg_catalog.pg_class x on x.oid operator(pg_catalog.=) i.indexrelid
      where i.indrelid operator(pg_catalog.=) c.oid and ${USABLE} and not ${GENERATED(IN_KEY)}
        and not exists (select 1 from pg_catalog.pg_attribute a where a.attrelid operator(pg_catalog.=) c.oid
          and ${IN_KEY} and not a.attnotnull)
      order by i.indisprimary desc, i.indnkeyatts, x.relname limit 1),
    'hasPrimaryKey', exists (select 1 from pg_catalog.pg_index i
      where i.indrelid operator(pg_catalog.=) c.oid and i.indisprimary))) as state
  from asked
  left join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) asked.oid
  left join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
  left join lateral (select ${USABLE} as is_usable, ${GENERATED(IN_KEY)} as is_generated from pg_catalog.pg_index i
    where i.indrelid operator(pg_catalog.=) c.oid
      and case when c.relreplident operator(pg_catalog.=) 'd' then i.indisprimary
        when c.relreplident operator(pg_catalog.=) 'i' then i.indisreplident else false end) as own_key on true) as found`);

async function states<T>(server: Asking, text: string, values?: unknown[]): Promise<T[]> {
  const { rows } = await server.query(question(text, values));
  return rows.map((row) => JSON.parse(String((row as { state?: unknown }).state)) as T);
}

export async function serverState(server: Asking, publication: string): Promise<ServerState> {
  const [found] = await states<Omit<ServerState, 'publication'>>(server, SERVER);
  if (found === undefined) throw new InvalidAnswer('it tells nothing of itself');
  const [facts = null] = await states<PublicationFacts>(server, publicationQuery(found.version), [publication]);
  return { ...found, publication: facts };
}

/** Of each table, of each of its partitions and of each of its children. */
export async function tableStates(server: Asking, tables: readonly TableName[]): Promise<TableState[]> {
  if (tables.length === 0) return [];
  const found = await states<Omit<TableState, 'kind'> & { kind: string | null }>(server, TABLES, [
    JSON.stringify(tables.map(({ schema, name }) => ({ schema, name }))),
  ]);
  return found.map((state) => ({ ...state, kind: state.kind ?? undefined }));
}
