/**
 * How the catalogue is read: PostgreSQL 14 and later, an ordinary login role is enough. Objects below oid 16384 are built in, and known without asking.
 * Each query gives the rows of {@link CatalogRows} in its order.
 */

/** A function behind something: its oid where it is a user's, its name where it is built in. */
const part = (column: string): string =>
  `(select case when f.oid >= 16384 then f.oid::text else f.proname::text end from pg_catalog.pg_proc f where f.oid = ${column})`;

const SEARCH_PATH = 'select pg_catalog.current_schemas(true)::text[] as path';

const FUNCTIONS = `select p.oid::text as oid, n.nspname as schema, p.proname as name, p.pronargs::int as "argCount",
  p.pronargdefaults::int as "defaultCount", p.provariadic <> 0 as "isVariadic", pg_catalog.oidvectortypes(p.proargtypes) as signature,
  p.provolatile as volatility, l.lanname as language,
  case when l.lanname in ('sql', 'plpgsql', 'internal') then coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) end as body,
  exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e') as "isOfExtension",
  exists (select from pg_catalog.unnest(p.proconfig) as setting where setting like 'search_path=%') as "hasOwnPath",
  pg_catalog.pg_get_expr(p.proargdefaults, 0) as defaults,
  case when p.prokind = 'a' then array(select ${part('used.oid')} from pg_catalog.pg_aggregate a,
    lateral (values (a.aggtransfn), (a.aggfinalfn), (a.aggcombinefn), (a.aggserialfn), (a.aggdeserialfn), (a.aggmtransfn), (a.aggminvtransfn), (a.aggmfinalfn)) as used(oid)
    where a.aggfnoid = p.oid and used.oid <> 0) end as parts
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace join pg_catalog.pg_language l on l.oid = p.prolang
  where p.oid >= 16384`;

const RELATIONS = `select n.nspname as schema, c.relname as name, c.relkind as kind, c.relpersistence as persistence,
  case when c.relkind = 'v' then pg_catalog.pg_get_viewdef(c.oid) end as definition,
  case when c.relrowsecurity then array(select pg_catalog.pg_get_expr(p.polqual, p.polrelid) from pg_catalog.pg_policy p
    where p.polrelid = c.oid and p.polcmd in ('*', 'r') and p.polqual is not null) end as policies,
  applied.parts as hidden
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join (select a.attrelid, pg_catalog.array_agg(distinct a.attname::text || ' ' || ${part('used.call')}) as parts
    from (select castsource as type, castfunc as call from pg_catalog.pg_cast where castcontext = 'i'
      union all select amproclefttype, amproc from pg_catalog.pg_amproc) as used join pg_catalog.pg_attribute a on a.atttypid = used.type
    where used.call >= 16384 and a.attrelid >= 16384 group by a.attrelid) applied on applied.attrelid = c.oid
  where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname <> 'pg_toast'`;

const OPERATORS = `select n.nspname as schema, o.oprname as name, ${part('o.oprcode')} as call
  from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace where o.oid >= 16384 and o.oprcode <> 0`;

/** To it, or from it without being asked for. */
const CAST_OF_TYPE = "k.castfunc >= 16384 and (k.casttarget = t.oid or (k.castsource = t.oid and k.castcontext = 'i'))";

const TYPES = `select n.nspname as schema, t.typname as name,
  array(select ${part('k.castfunc')} from pg_catalog.pg_cast k where ${CAST_OF_TYPE}) as casts,
  array(select pg_catalog.pg_get_expr(c.conbin, 0) from pg_catalog.pg_constraint c where c.contypid = t.oid and c.conbin is not null) as checks,
  case when b.oid >= 16384 then bn.nspname || '.' || b.typname end as base
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  left join pg_catalog.pg_type b on b.oid = t.typbasetype and t.typtype = 'd' left join pg_catalog.pg_namespace bn on bn.oid = b.typnamespace
  where t.typtype = 'd' or exists (select from pg_catalog.pg_cast k where ${CAST_OF_TYPE})`;

/**
 * Printing a view's query locks its tables: rather than wait for an ALTER TABLE, or deadlock with a DROP, which would be the one to fail, it is tried again
 * later.
 */
const PATIENCE = 'set local lock_timeout = 50';

/** One message, one round trip, and so one transaction. The first result is that of the setting. */
export const CATALOG = [PATIENCE, SEARCH_PATH, FUNCTIONS, RELATIONS, OPERATORS, TYPES].join(';\n');
