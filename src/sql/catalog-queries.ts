/**
 * How the catalogue is read: PostgreSQL 14 and later, an ordinary login role is enough. Objects
 * below oid 16384 are built in, and known without asking. Each query gives the rows of
 * {@link CatalogRows} in its order.
 */
import { own } from '../postgres/own-statements.js';
import { resolutionQuery } from './resolution-query.js';

/**
 * Operators as they are written here. They run with the application's rights on its search path,
 * where a plain `=` may be another role's; IN, LIKE and CASE x WHEN look up plain ones as well.
 */
const [EQ, NE] = ['operator(pg_catalog.=)', 'operator(pg_catalog.<>)'];
const [GE, LT] = ['operator(pg_catalog.>=)', 'operator(pg_catalog.<)'];

/** A function behind something: its oid where it is a user's, its name where it is built in. */
const part = (column: string): string =>
  `(select case when f.oid ${GE} 16384 then pg_catalog.concat(f.oid) else pg_catalog.concat(f.proname) end from pg_catalog.pg_proc f where f.oid ${EQ} ${column})`;

const SEARCH_PATH =
  'select array(select pg_catalog.concat(schema) from pg_catalog.unnest(pg_catalog.current_schemas(true)) as schema) as path';

const FUNCTIONS = `select pg_catalog.concat(p.oid) as oid, n.nspname as schema, p.proname as name, p.pronargs::int as "argCount",
  p.pronargdefaults::int as "defaultCount", p.provariadic ${NE} 0 as "isVariadic", pg_catalog.oidvectortypes(p.proargtypes) as signature,
  p.provolatile as volatility, l.lanname as language,
  case when l.lanname ${EQ} any ('{sql,plpgsql,internal}') then coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) end as body,
  exists (select from pg_catalog.pg_depend d
    where d.classid ${EQ} 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid ${EQ} p.oid and d.deptype ${EQ} 'e') as "isOfExtension",
  exists (select from pg_catalog.unnest(p.proconfig) as setting where pg_catalog.starts_with(setting, 'search_path=')) as "hasOwnPath",
  pg_catalog.pg_get_expr(p.proargdefaults, 0) as defaults,
  case when p.prokind ${EQ} 'a' then array(select ${part('used.oid')} from pg_catalog.pg_aggregate a,
    lateral (values (a.aggtransfn), (a.aggfinalfn), (a.aggcombinefn), (a.aggserialfn), (a.aggdeserialfn), (a.aggmtransfn), (a.aggminvtransfn), (a.aggmfinalfn)) as used(oid)
    where a.aggfnoid ${EQ} p.oid and used.oid ${NE} 0) end as parts,
  pg_catalog.concat(p.proargtypes) as takes,
  pg_catalog.concat_ws(' ', p.prorettype, pg_catalog.array_to_string(p.proallargtypes, ' ')) as gives
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid ${EQ} p.pronamespace join pg_catalog.pg_language l on l.oid ${EQ} p.prolang
  where p.oid ${GE} 16384`;

/** How many tables lie below one: its partitions, and what inherits from it, three levels deep. */
const MEMBERS = `(select pg_catalog.count(*) from pg_catalog.pg_inherits i
    left join pg_catalog.pg_inherits j on j.inhparent ${EQ} i.inhrelid
    left join pg_catalog.pg_inherits k on k.inhparent ${EQ} j.inhrelid
    where i.inhparent ${EQ} c.oid)::pg_catalog.int4`;

const RELATIONS = `select n.nspname as schema, c.relname as name, c.relkind as kind, c.relpersistence as persistence,
  case when c.relkind ${EQ} 'v' then pg_catalog.pg_get_viewdef(c.oid) end as definition,
  case when c.relrowsecurity then array(select pg_catalog.pg_get_expr(p.polqual, p.polrelid) from pg_catalog.pg_policy p
    where p.polrelid ${EQ} c.oid and p.polcmd ${EQ} any ('{*,r}') and p.polqual is not null) end as policies,
  applied.parts as hidden, pg_catalog.concat(c.reltype) as "rowType",
  array(select pg_catalog.concat(a.atttypid, ' ', a.attname) from pg_catalog.pg_attribute a
    where a.attrelid ${EQ} c.oid and a.attnum ${GE} 1::pg_catalog.int2 and not a.attisdropped) as columns,
  ${MEMBERS} as "memberCount"
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid ${EQ} c.relnamespace
  left join (select a.attrelid, pg_catalog.array_agg(distinct pg_catalog.concat(a.attname, ' ', ${part('used.call')})) as parts
    from (select castsource as type, castfunc as call from pg_catalog.pg_cast
        where castcontext ${EQ} 'i' and (castsource ${GE} 16384 or casttarget ${LT} 16384)
      union all select amproclefttype, amproc from pg_catalog.pg_amproc) as used join pg_catalog.pg_attribute a on a.atttypid ${EQ} used.type
    where used.call ${GE} 16384 and a.attrelid ${GE} 16384 group by a.attrelid) applied on applied.attrelid ${EQ} c.oid
  where c.oid ${GE} 16384 and c.relkind ${EQ} any ('{r,p,v,m,f,S}') and n.nspname ${NE} 'pg_toast'`;

const OPERATORS = `select n.nspname as schema, o.oprname as name, ${part('o.oprcode')} as call,
  case when o.oprleft ${EQ} 0 then pg_catalog.concat(o.oprright) else pg_catalog.concat(o.oprleft, ' ', o.oprright) end as takes
  from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid ${EQ} o.oprnamespace where o.oid ${GE} 16384 and o.oprcode ${NE} 0`;

/** To it, or from it without being asked for. */
const CAST_OF_TYPE = `k.castfunc ${GE} 16384 and (k.casttarget ${EQ} t.oid or (k.castsource ${EQ} t.oid and k.castcontext ${EQ} 'i'))`;

/** Whether there is any to look for, asked once: most servers have none. */
const USERS_CAST = `select from pg_catalog.pg_cast own where own.castfunc ${GE} 16384`;

const TYPES = `select pg_catalog.concat(t.oid) as oid, n.nspname as schema, t.typname as name,
  array(select ${part('k.castfunc')} from pg_catalog.pg_cast k where ${CAST_OF_TYPE}) as casts,
  array(select pg_catalog.pg_get_expr(c.conbin, 0) from pg_catalog.pg_constraint c where c.contypid ${EQ} t.oid and c.conbin is not null) as checks,
  case when b.oid ${GE} 16384 then pg_catalog.concat(bn.nspname, '.', b.typname) end as base
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid ${EQ} t.typnamespace
  left join pg_catalog.pg_type b on b.oid ${EQ} t.typbasetype and t.typtype ${EQ} 'd' left join pg_catalog.pg_namespace bn on bn.oid ${EQ} b.typnamespace
  where t.oid ${GE} 16384 and (t.typelem ${EQ} 0 or t.typcategory ${NE} 'A')
    and (t.typrelid ${EQ} 0 or exists (select from pg_catalog.pg_class c where c.oid ${EQ} t.typrelid and c.relkind ${EQ} 'c'))
    or exists (${USERS_CAST}) and exists (select from pg_catalog.pg_cast k where ${CAST_OF_TYPE})`;

/**
 * Printing a view's query locks its tables: rather than wait for an ALTER TABLE, or deadlock with a
 * DROP, which would be the one to fail, it is tried again later.
 */
const PATIENCE = 'set local lock_timeout = 50';

/**
 * `pg_get_viewdef` asks the catalogue by a query of its own, whose operators go by the search path.
 * A function's signature is printed before, since users name overloads as their own path prints
 * them.
 */
const SAFE_PATH = 'set local search_path = pg_catalog, pg_temp';

/**
 * One message, one round trip, and so one transaction. Settings give results, too.
 * @param names of the functions that are wanted, all of them words; without, all functions, of
 * which there may be many thousands
 * @param stamp a query of one text that is another one when a definition has changed: asked first
 * and last
 */
export function catalogQuery(names: ReadonlySet<string> | undefined, stamp?: string): string {
  const wanted = names === undefined ? '' : ` and p.proname ${EQ} any ('{${[...names].join()}}')`;
  const functions = `${FUNCTIONS}${wanted}`;
  const resolution = resolutionQuery(names);
  const queries = [SEARCH_PATH, functions, PATIENCE, SAFE_PATH, RELATIONS, OPERATORS, TYPES, resolution].map(own);
  // Each statement sees what has been committed by then.
  return (stamp === undefined ? queries : [stamp, ...queries, stamp]).join('; ');
}

export const CATALOG = catalogQuery(undefined);
