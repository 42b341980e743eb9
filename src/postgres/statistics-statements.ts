/** What is asked of a server's own statistics of statements. An ordinary login role is enough; it sees what it may. */
import { own } from './own-statements.js';

/** In bytes. A longer text is one of those that are written anew each time. */
const MOST_BYTES = 20_000;
const MOST_STATEMENTS = 200;

/** The schema of `pg_stat_statements`, where it counts and may be read; else no row. So nothing is asked that fails. */
export const STATISTICS_PLACE = own(`select pg_catalog.concat(n.nspname) as schema
  from pg_catalog.pg_extension as e, pg_catalog.pg_depend as d, pg_catalog.pg_class as c, pg_catalog.pg_namespace as n
  where e.extname operator(pg_catalog.=) 'pg_stat_statements'
    and d.refclassid operator(pg_catalog.=) e.tableoid and d.refobjid operator(pg_catalog.=) e.oid
    and d.classid operator(pg_catalog.=) c.tableoid and d.objid operator(pg_catalog.=) c.oid
    and c.relname operator(pg_catalog.=) 'pg_stat_statements' and n.oid operator(pg_catalog.=) c.relnamespace
    and pg_catalog.current_setting('pg_stat_statements.max', true) is not null
    and exists (select 1
      from pg_catalog.aclexplode(coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner))) as may
      where may.privilege_type operator(pg_catalog.=) 'SELECT'
        and (may.grantee operator(pg_catalog.=) 0::pg_catalog.oid or pg_catalog.pg_has_role(may.grantee, 'usage')))
    and exists (select 1
      from pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) as may
      where may.privilege_type operator(pg_catalog.=) 'USAGE'
        and (may.grantee operator(pg_catalog.=) 0::pg_catalog.oid or pg_catalog.pg_has_role(may.grantee, 'usage')))`);

/** What the database's statements have taken, the dearest first. @param schema as {@link STATISTICS_PLACE} gives it */
export function statisticsIn(schema: string): string {
  const view = `"${schema.replaceAll('"', '""')}".pg_stat_statements`;
  return own(`select query, pg_catalog.concat(calls) as calls, pg_catalog.concat(mean_exec_time) as millis
    from ${view}
    where dbid operator(pg_catalog.=) (select oid from pg_catalog.pg_database
        where datname operator(pg_catalog.=) pg_catalog.current_database())
      and pg_catalog.octet_length(query) operator(pg_catalog.<=) ${MOST_BYTES}
      and query operator(pg_catalog.<>) '<insufficient privilege>'
    order by total_exec_time desc limit ${MOST_STATEMENTS}`);
}
