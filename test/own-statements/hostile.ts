/**
 * A schema in which another role has put its own version of all that a statement may name: operators, functions, types, relations and casts. Each that
 * is used says so in the server's log, also on a standby. It knows names and types alone, not the statements.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the log says of each that was used. */
export const HOSTILE = /(?<=WARNING: {2}hostile: ).*/g;

const OPERATORS = ['=', '<>', '<', '<=', '>', '>=', '||', '+', '-', '*', '/', '%', '~', '!~', '~~', '!~~'];
/** Between all of which there are operators, and casts. */
const TYPES =
  `bool "char" name int8 int2 int4 text oid xid xid8 pg_lsn timestamptz numeric float8 regproc regclass bit`.split(' ');
const ARRAYS = ['_text', '_name', '_oid', '_xid8'];

const list = (names: Iterable<string>): string => `array['${[...names].join("','")}']`;

/** Names of functions and relations in the sources: those that are none of PostgreSQL's are passed over. */
function namesIn(pattern: RegExp): Set<string> {
  const root = fileURLToPath(new URL('../../src/', import.meta.url));
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return new Set(files.flatMap((file) => readFileSync(join(root, file), 'utf8').match(pattern) ?? []));
}

/** Run by a superuser, on an empty database. */
export function hostileSchema(): string {
  const functions = namesIn(/\b[a-z][a-z0-9_]*(?=\()/g);
  const relations = namesIn(/\bpg_[a-z_]+\b/g);
  return `
  set search_path = pg_catalog, pg_temp;
  set client_min_messages = error;
  create role mallory;
  create schema evil authorization mallory;
  grant usage on schema evil to public;
  set role mallory;
  create type evil.mine as (v text);

  -- A body that names nothing, so that it is the same on any search path.
  create function evil.alarm(text) returns bool language plpgsql as $f$ begin raise warning 'hostile: %', $1; return true; end $f$;

  do $do$
  declare
    types text[] := ${list(TYPES)}; l text; r text; o text; f record; made int := 0;
  begin
    types := (select array_agg(format('pg_catalog.%s', t)) from unnest(types) t) || 'evil.mine'::text;
    foreach l in array types loop
      foreach r in array types || (select array_agg(format('pg_catalog.%s', t)) from unnest(${list(ARRAYS)}) t) loop
        execute format($f$create function evil.compared(%1$s, %2$s) returns bool language plpgsql as
          $b$ begin raise warning 'hostile: operator of %1$s and %2$s'; return null; end $b$ $f$, l, r);
        execute format($f$create function evil.computed(%1$s, %2$s) returns %1$s language plpgsql as
          $b$ begin raise warning 'hostile: operator of %1$s and %2$s'; return null; end $b$ $f$, l, r);
        foreach o in array ${list(OPERATORS)} loop
          execute format('create operator evil.%s (function = evil.%s, leftarg = %s, rightarg = %s)',
            o, case when o ~ '[=<>~]' then 'compared' else 'computed' end, l, r);
        end loop;
      end loop;
      execute format($f$create function evil.negated(%1$s) returns %1$s language plpgsql as
        $b$ begin raise warning 'hostile: operator before %1$s'; return null; end $b$ $f$, l);
      execute format('create operator evil.- (function = evil.negated, rightarg = %s)', l);
      execute format('create operator evil.+ (function = evil.negated, rightarg = %s)', l);
    end loop;

    -- The same functions as there are, and one for each type, which is nearer to some calls than any of these.
    for f in
      select p.proname as name, pg_get_function_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result
      from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f' and p.proname = any (${list(functions)})
      union all
      select n, t, 'text' from unnest(${list(functions)}) n, unnest(types) t
      where exists (select from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = n)
    loop
      begin
        execute format($f$create function evil.%1$I(%2$s) returns %3$s language plpgsql as
          $b$ begin raise warning 'hostile: function %1$s'; %4$s end $b$ $f$,
          f.name, f.arguments, f.result,
          case when f.result like 'SETOF%' or f.arguments like '%OUT %' or f.result like 'TABLE%' then 'return;' else 'return null;' end);
        made := made + 1;
      exception when others then null; -- of types that plpgsql does not take, or there twice
      end;
    end loop;
    if made < 100 then raise exception 'only % functions', made; end if;
    create function evil.counted(int8) returns int8 language plpgsql as $b$ begin raise warning 'hostile: function count'; return 0; end $b$;
    create aggregate evil.count(*) (sfunc = evil.counted, stype = int8, initcond = '0');

    for o, l in
      select relname, string_agg(quote_ident(attname), ', ' order by attnum) from pg_class c join pg_attribute on attrelid = c.oid
      where relnamespace = 'pg_catalog'::regnamespace and relkind in ('r', 'v') and relname = any (${list(relations)})
        and has_table_privilege(c.oid, 'select') and attnum > 0 and atttypid <> 'anyarray'::regtype group by relname
    loop
      execute format('create view evil.%1$I as select %3$s from pg_catalog.%1$I where evil.alarm(%2$L)', o, 'relation ' || o, l);
    end loop;
    grant select on all tables in schema evil to public;

    -- Casts of its own type are a role's own to make.
    foreach l in array types loop
      if l <> 'evil.mine' then
        execute format($f$create function evil.cast_to_mine(%1$s) returns evil.mine language plpgsql as
          $b$ begin raise warning 'hostile: cast of %1$s'; return null; end $b$ $f$, l);
        execute format($f$create function evil.cast_to_%2$s(evil.mine) returns %1$s language plpgsql as
          $b$ begin raise warning 'hostile: cast to %1$s'; return null; end $b$ $f$, l, translate(l, '".', ''));
        execute format('create cast (%s as evil.mine) with function evil.cast_to_mine(%1$s) as implicit', l);
        execute format('create cast (evil.mine as %s) with function evil.cast_to_%s(evil.mine) as implicit', l, translate(l, '".', ''));
      end if;
    end loop;
  end $do$;
  reset role;

  -- Last, as the names mean something else from here on: types, and casts between PostgreSQL's own, which take a superuser.
  do $do$
  declare types text[] := ${list([...TYPES, ...ARRAYS])}; l text; r text;
  begin
    foreach l in array types loop
      foreach r in array types loop
        continue when l = r or exists (select from pg_cast where castsource = l::regtype and casttarget = r::regtype);
        execute format($f$create function evil.%3$I(pg_catalog.%1$s) returns pg_catalog.%2$s language plpgsql as
          $b$ begin raise warning 'hostile: cast of %1$s to %2$s'; return null; end $b$ $f$, l, r, format('cast_%s_to_%s', l, r));
        execute format('create cast (pg_catalog.%s as pg_catalog.%s) with function evil.%I(pg_catalog.%1$s) as assignment', l, r, format('cast_%s_to_%s', l, r));
      end loop;
      if l not like '\\_%' then
        execute format('create domain evil.%s as pg_catalog.%1$s check (evil.alarm(%L))', l, 'type ' || l);
      end if;
    end loop;
  end $do$;`;
}

/** On a connection to a primary: relations and types are looked for among the temporary ones first. */
export const HOSTILE_TEMPORARIES = `
  set search_path = pg_catalog, pg_temp;
  do $do$
  declare each text;
  begin
    for each in select relname from pg_class where relnamespace = 'evil'::regnamespace and relkind = 'v' loop
      execute format('create view pg_temp.%1$I as select * from evil.%1$I where evil.alarm(%2$L)', each, 'temporary relation ' || each);
    end loop;
    foreach each in array ${list(TYPES)} loop
      execute format('create domain pg_temp.%s as pg_catalog.%1$s check (evil.alarm(%L))', each, 'temporary type ' || each);
    end loop;
  end $do$;`;
