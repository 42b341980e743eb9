/**
 * The SQL that sets up the change stream in a database, and the SQL that takes it back, for a human to
 * review. It names each table, never publishes all of them, and never changes a replica identity. It
 * sends nothing.
 */
import { own } from '../postgres/own-statements.js';
import { DEFINITION_TRIGGERS, DEFINITIONS_PREFIX } from './names.js';
import { quotedIdentifier, quotedTable, type TableName } from './table-names.js';

/** Where the library's functions are. PostgreSQL keeps names that begin with `pg_` for itself. */
export const SCHEMA = 'pgladder';

const [DEFINITIONS, DROPS] = DEFINITION_TRIGGERS;
const OPERATIONS = 'insert, update, delete, truncate';
/** By which `own` marks a statement, without its line breaks being taken. */
const MARK = own('');

const marked = (statements: readonly string[]): string[] => statements.map((text) => `${text}${MARK}`);

/** What the database has of a publication. */
export interface PublicationState {
  readonly tables: readonly TableName[];
  /** Insert, update, delete and truncate. */
  readonly hasAllOperations: boolean;
}

/**
 * Has a publication name the given tables: makes it, or adds what is missing to the one that is there.
 * Nothing is taken out of it.
 */
export function publicationSql(name: string, tables: readonly TableName[], found?: PublicationState): string[] {
  const publication = quotedIdentifier(name);
  if (found === undefined) {
    return marked([
      `create publication ${publication} for table ${tables.map(quotedTable).join(', ')} with (publish = '${OPERATIONS}')`,
    ]);
  }
  const known = new Set(found.tables.map(quotedTable));
  const missing = tables.map(quotedTable).filter((table) => !known.has(table));
  return marked([
    ...(found.hasAllOperations ? [] : [`alter publication ${publication} set (publish = '${OPERATIONS}')`]),
    ...(missing.length === 0 ? [] : [`alter publication ${publication} add table ${missing.join(', ')}`]),
  ]);
}

/**
 * A function of an event trigger. It runs with its owner's rights, so that a role needs none for it;
 * it looks up all names in pg_catalog; it cannot be called by hand. Where it cannot find out what was changed, it
 * tells of it; where it cannot tell, it warns, and the statement goes on.
 */
function telling(name: string, isChanged: string): string {
  return `create function ${SCHEMA}.${name}() returns event_trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp
as $pg_ladder$
declare
  is_changed pg_catalog.bool;
begin
  begin
    is_changed := ${isChanged};
  exception when others then
    is_changed := true;
  end;
  if is_changed then
    perform pg_catalog.pg_logical_emit_message(true, '${DEFINITIONS_PREFIX}', '');
  end if;
exception when others then
  raise warning 'pg-ladder could not tell of this change: run "pg-ladder changes check"';
end
$pg_ladder$`;
}

/**
 * What changes no answer, and is done often, is not told. DROP OWNED changes policies without a word of it.
 * Temporary objects are their session's own.
 */
const IS_MADE = `tg_tag operator(pg_catalog.=) 'DROP OWNED' or exists (
      select from pg_catalog.pg_event_trigger_ddl_commands() as command
      where command.schema_name is distinct from 'pg_temp'
        and command.command_tag <> all ('{REFRESH MATERIALIZED VIEW,REINDEX,COMMENT}'::pg_catalog.text[]))`;

/** Defaults and triggers of temporary tables are not called temporary by each version. */
const IS_DROPPED = `exists (
      select from pg_catalog.pg_event_trigger_dropped_objects() as object
      where not object.is_temporary and object.address_names[1] is distinct from 'pg_temp')`;

/**
 * Has each change of a definition tell of itself in the log. A superuser has to run it, or the role that
 * a managed service has for this. Functions are made anew, so that they belong to who runs it.
 */
export function definitionsSql(): string[] {
  return marked([
    `create schema if not exists ${SCHEMA}`,
    // Its owner could drop what is in it.
    `alter schema ${SCHEMA} owner to current_user`,
    ...dropTriggers(),
    telling('tell_definitions', IS_MADE),
    telling('tell_drops', IS_DROPPED),
    `revoke all on function ${SCHEMA}.tell_definitions(), ${SCHEMA}.tell_drops() from public`,
    `create event trigger ${DEFINITIONS} on ddl_command_end execute function ${SCHEMA}.tell_definitions()`,
    `create event trigger ${DROPS} on sql_drop execute function ${SCHEMA}.tell_drops()`,
    // Also where a session applies changes of another database (session_replication_role = replica).
    ...DEFINITION_TRIGGERS.map(enableTrigger),
  ]);
}

export function enableTrigger(name: string): string {
  return `alter event trigger ${quotedIdentifier(name)} enable always`;
}

/** Takes everything back. The schema stays while anything else is in it. */
export function removalSql(publication: string): string[] {
  return marked([`drop publication if exists ${quotedIdentifier(publication)}`, ...dropTriggers(), DROP_EMPTY_SCHEMA]);
}

function dropTriggers(): string[] {
  return [
    ...DEFINITION_TRIGGERS.map((name) => `drop event trigger if exists ${name}`),
    `drop function if exists ${SCHEMA}.tell_definitions(), ${SCHEMA}.tell_drops()`,
  ];
}

const DROP_EMPTY_SCHEMA = `do $pg_ladder$
begin
  drop schema if exists ${SCHEMA};
exception when dependent_objects_still_exist then
  null;
end
$pg_ladder$`;

/** How long it waits for a lock: behind it, others would wait. */
const LOCK_TIMEOUT = '5s';

export const BEGIN_INSTALLATION: readonly string[] = marked(['begin', `set local lock_timeout = '${LOCK_TIMEOUT}'`]);
