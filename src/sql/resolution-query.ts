/**
 * How the catalogue is asked what PostgreSQL goes by when it chooses among namesakes: one row,
 * {@link ResolutionRow}. It tells of built-in objects only where a user's have the same name.
 */

const [EQ, GE, LT] = ['operator(pg_catalog.=)', 'operator(pg_catalog.>=)', 'operator(pg_catalog.<)'];
const FIRST_USER_OID = 16_384;
const PG_CATALOG = 11;
const RECORD = 2249;
const RECORD_ARRAY = 2287;

/** Two oids with a blank between them. */
const pair = (from: string, to: string): string => `pg_catalog.concat(${from}, ' ', ${to})`;

const OPERATORS = `select case when o.oprleft ${EQ} 0 then ${pair('o.oprname', 'o.oprright')} else pg_catalog.concat(o.oprname, ' ', o.oprleft, ' ', o.oprright) end
  from pg_catalog.pg_operator o where o.oid ${LT} ${FIRST_USER_OID} and o.oprname ${EQ} any (array(
    select own.oprname from pg_catalog.pg_operator own where own.oid ${GE} ${FIRST_USER_OID}))`;

const USERS_FUNCTIONS = `select f.proname as name from pg_catalog.pg_proc f where f.oid ${GE} ${FIRST_USER_OID}`;

/** A join, for which each name is looked up once. A type is called like a function, too. */
const namesakesOf = (
  functions: string,
): string => `select ${pair('p.proname', 'p.proargtypes')} from pg_catalog.pg_proc p
  join (${functions} union select t.typname from pg_catalog.pg_type t where t.oid ${GE} ${FIRST_USER_OID}) own on own.name ${EQ} p.proname
  where p.oid ${LT} ${FIRST_USER_OID} and p.pronamespace ${EQ} ${PG_CATALOG}`;

const RECORDS = `select distinct pg_catalog.concat(p.proname) from pg_catalog.pg_proc p
  where p.oid ${LT} ${FIRST_USER_OID} and p.prorettype ${EQ} any ('{${RECORD},${RECORD_ARRAY}}'::pg_catalog.oid[])
  and not exists (select from pg_catalog.unnest(p.proargtypes) as type where type ${EQ} ${RECORD})`;

/**
 * Implicit casts are the only ones of built-in types that count, for the rest users' types do:
 * elements and arrays, bases and domains, ranges, fields, parents, records and rows, and implicit
 * casts.
 */
const KIN = [
  `select ${pair('t.typelem', 't.oid')} from pg_catalog.pg_type t where t.typelem ${GE} 1`,
  `select ${pair('t.oid', 't.typelem')} from pg_catalog.pg_type t where t.typelem ${GE} 1`,
  `select ${pair('t.typbasetype', 't.oid')} from pg_catalog.pg_type t where t.typbasetype ${GE} 1`,
  `select ${pair('t.oid', 't.typbasetype')} from pg_catalog.pg_type t where t.typbasetype ${GE} 1`,
  `select ${pair('r.rngtypid', 'r.rngsubtype')} from pg_catalog.pg_range r where r.rngtypid ${GE} ${FIRST_USER_OID}`,
  `select ${pair('r.rngtypid', 'r.rngmultitypid')} from pg_catalog.pg_range r where r.rngtypid ${GE} ${FIRST_USER_OID}`,
  `select ${pair('r.rngmultitypid', 'r.rngtypid')} from pg_catalog.pg_range r where r.rngtypid ${GE} ${FIRST_USER_OID}`,
  `select pg_catalog.concat(c.reltype, ' ', a.atttypid, ' ', a.attname) from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid ${EQ} a.attrelid
    where a.atttypid ${GE} ${FIRST_USER_OID} and a.attnum ${GE} 1::pg_catalog.int2 and c.reltype ${GE} 1`,
  `select ${pair('child.reltype', 'parent.reltype')} from pg_catalog.pg_inherits i join pg_catalog.pg_class child on child.oid ${EQ} i.inhrelid
    join pg_catalog.pg_class parent on parent.oid ${EQ} i.inhparent where child.reltype ${GE} 1`,
  `select ${pair(`${RECORD}`, 't.oid')} from pg_catalog.pg_type t where t.typtype operator(pg_catalog.=) 'c' and t.oid ${GE} ${FIRST_USER_OID}`,
  `select ${pair('k.castsource', 'k.casttarget')} from pg_catalog.pg_cast k where k.castcontext operator(pg_catalog.=) 'i'`,
].join(' union all ');

/** A cast whose function is built in does nothing that matters. */
const CASTS = `select pg_catalog.concat(k.castsource, ' ', k.casttarget, ' ', k.castfunc) from pg_catalog.pg_cast k
  where k.castfunc ${GE} ${FIRST_USER_OID} and k.castcontext operator(pg_catalog.=) 'i'`;

/**
 * @param names of the functions that are wanted, all of them words; what is built in is known then,
 * and not asked for. Without, of all functions, of which there may be many thousands
 */
export function resolutionQuery(names: ReadonlySet<string> | undefined): string {
  const wanted = names === undefined ? undefined : `'{${[...names].join()}}'::pg_catalog.name[]`;
  const functions = wanted === undefined ? USERS_FUNCTIONS : `select name from pg_catalog.unnest(${wanted}) as name`;
  return `select array(${OPERATORS}) as operators, array(${namesakesOf(functions)}) as functions,
  array(${wanted === undefined ? RECORDS : 'select null::pg_catalog.text where false'}) as records, array(${KIN}) as kin, array(${CASTS}) as casts`;
}
