/**
 * Statements that stamp what a database defines: two equal stamps of one timeline say that nothing was
 * defined anew in between. A stamp is made of the transactions that wrote the rows of the catalogue: a
 * new version of a row has another one than any that was there before. Data leaves it as it is, and so
 * do VACUUM and ANALYZE, indexes that are built, temporary tables and materialized views.
 *
 * Any role may read all of it, on a replica too. Objects of PostgreSQL's own count as far as rights on
 * its functions and schemas do.
 */
import { own } from '../postgres/own-statements.js';
import { CHANGES_TRIGGER } from './names.js';

/** Where the objects of users begin (FirstNormalObjectId). */
const FIRST_OID = "'16384'::pg_catalog.oid";

/**
 * Of rows with a column `x`, the transaction that wrote each. Not by `x` itself, which has no cast to a
 * number: its age, counted from that of the first transaction there can be, modulo 2^32. The rows of
 * initdb's first step have none (an age of 2^31 − 1).
 */
const SUM = `pg_catalog.concat(pg_catalog.count(*), ':', pg_catalog.sum(pg_catalog.hashint8extended(
  case when pg_catalog.age(x) operator(pg_catalog.<) 2147483647
    then (pg_catalog.age(x)::bigint operator(pg_catalog.-) pg_catalog.age('3'::pg_catalog.xid)::bigint)
      operator(pg_catalog.&) 4294967295::bigint
    else 0 end, 0)))`;

/** What the statement itself took, in milliseconds: it stands above the rows, so it is reckoned after them. */
const TOOK = `pg_catalog.concat(extract(epoch from pg_catalog.clock_timestamp() operator(pg_catalog.-)
  pg_catalog.statement_timestamp()) operator(pg_catalog.*) 1000) as took_millis`;

/**
 * What event triggers do not fire for, but can change what a read answers: roles, who is a member of
 * which, settings of roles and databases, event triggers themselves, and owners (REASSIGN OWNED).
 * With whether the event triggers of the names `$1` are all there and always fire, and how many bytes
 * {@link localStamp} reads.
 */
export const SHARED_STAMP = own(`select pg_catalog.concat(
  (select ${SUM} from (
    select xmin as x from pg_catalog.pg_auth_members
    union all select xmin from pg_catalog.pg_db_role_setting
    union all select xmin from pg_catalog.pg_event_trigger
    union all select xmin from pg_catalog.pg_database
      where datname operator(pg_catalog.=) pg_catalog.current_database()
    union all select owner.xmin from pg_catalog.pg_shdepend as owner
      where owner.deptype operator(pg_catalog.=) 'o'
        and owner.dbid operator(pg_catalog.=) (select oid from pg_catalog.pg_database
          where datname operator(pg_catalog.=) pg_catalog.current_database())
        and not exists (select from pg_catalog.pg_class as relation
          where owner.classid operator(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
            and relation.oid operator(pg_catalog.=) owner.objid
            and relation.relpersistence operator(pg_catalog.=) 't')) as stamped), ':',
  (select pg_catalog.concat(pg_catalog.count(*), ':', pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat(
    oid, ' ', rolname, ' ', rolsuper, rolinherit, rolbypassrls), 0))) from pg_catalog.pg_roles)) as stamp,
  (select pg_catalog.count(*) from pg_catalog.pg_event_trigger
    where evtname operator(pg_catalog.=) any ($1::pg_catalog.name[]) and evtenabled operator(pg_catalog.=) 'A')
    operator(pg_catalog.=) pg_catalog.cardinality($1::pg_catalog.name[]) as is_told,
  (select pg_catalog.concat(pg_catalog.sum(pg_catalog.pg_relation_size(catalog)))
    from pg_catalog.unnest(array['pg_catalog.pg_class'::pg_catalog.regclass,
      'pg_catalog.pg_attribute'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass,
      'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_index'::pg_catalog.regclass]) as catalog) as local_bytes,
  ${TOOK}`);

/**
 * What event triggers fire for: relations with their columns, views, policies, keys, types, functions,
 * operators, text search, publications, schemas, and the rights on them. And the triggers that notify
 * of changes: a transaction that disables one and writes tells of nothing, see `notify-stream.ts`.
 * @param version `server_version_num`
 */
export function localStamp(version: number): string {
  const ofSchemas = version >= 150_000 ? 'union all select xmin from pg_catalog.pg_publication_namespace' : '';
  return own(`select ${SUM} as stamp, ${TOOK} from (
    with relation as materialized (select oid, xmin as x from pg_catalog.pg_class
      where oid operator(pg_catalog.>=) ${FIRST_OID}
        and relkind operator(pg_catalog.=) any ('{r,p,v,f,c}'::pg_catalog."char"[])
        and relpersistence operator(pg_catalog.<>) 't')
    select x from relation
    union all select part.xmin from pg_catalog.pg_attribute as part
      join relation on relation.oid operator(pg_catalog.=) part.attrelid where part.attnum operator(pg_catalog.>) 0
    union all select part.xmin from pg_catalog.pg_attrdef as part
      join relation on relation.oid operator(pg_catalog.=) part.adrelid
    union all select part.xmin from pg_catalog.pg_index as part
      join relation on relation.oid operator(pg_catalog.=) part.indrelid where part.indisprimary or part.indisreplident
    union all select part.xmin from pg_catalog.pg_inherits as part
      join relation on relation.oid operator(pg_catalog.=) part.inhrelid
    union all select part.xmin from pg_catalog.pg_rewrite as part
      join relation on relation.oid operator(pg_catalog.=) part.ev_class
    union all select part.xmin from pg_catalog.pg_trigger as part
      join relation on relation.oid operator(pg_catalog.=) part.tgrelid
      where part.tgname operator(pg_catalog.=) '${CHANGES_TRIGGER}'
    union all select xmin from pg_catalog.pg_namespace
      where not pg_catalog.starts_with(nspname::pg_catalog.text, 'pg_temp_')
        and not pg_catalog.starts_with(nspname::pg_catalog.text, 'pg_toast_temp_')
    union all select xmin from pg_catalog.pg_policy
    union all select xmin from pg_catalog.pg_constraint where contypid operator(pg_catalog.>=) ${FIRST_OID}
    union all select xmin from pg_catalog.pg_type where oid operator(pg_catalog.>=) ${FIRST_OID}
      and (typtype operator(pg_catalog.=) 'd'
        or (typtype operator(pg_catalog.<>) 'c' and typcategory operator(pg_catalog.<>) 'A'))
    union all select xmin from pg_catalog.pg_enum
    union all select xmin from pg_catalog.pg_range where rngtypid operator(pg_catalog.>=) ${FIRST_OID}
    union all select xmin from pg_catalog.pg_proc
      where oid operator(pg_catalog.>=) ${FIRST_OID} or proacl is not null
    union all select xmin from pg_catalog.pg_aggregate
      where aggfnoid::pg_catalog.oid operator(pg_catalog.>=) ${FIRST_OID}
    union all select xmin from pg_catalog.pg_operator where oid operator(pg_catalog.>=) ${FIRST_OID}
    union all select xmin from pg_catalog.pg_opclass where oid operator(pg_catalog.>=) ${FIRST_OID}
    union all select xmin from pg_catalog.pg_cast where oid operator(pg_catalog.>=) ${FIRST_OID}
    union all select xmin from pg_catalog.pg_collation where oid operator(pg_catalog.>=) ${FIRST_OID}
    union all select xmin from pg_catalog.pg_ts_config
    union all select xmin from pg_catalog.pg_ts_config_map
    union all select xmin from pg_catalog.pg_ts_dict
    union all select xmin from pg_catalog.pg_publication
    union all select xmin from pg_catalog.pg_publication_rel
    ${ofSchemas}) as stamped`);
}
