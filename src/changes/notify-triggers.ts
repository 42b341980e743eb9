/**
 * The SQL that makes tables notify of their changes, and that takes it back, for a person to review.
 * It runs nothing.
 *
 * Each table gets one trigger: once for a statement, whatever it changes, and always, so that
 * `session_replication_role = replica` does not skip it. It tells the oid of its table alone: that
 * is never too long, and the listener knows by the catalogue which tables stand above and below.
 *
 * A transaction that has notified cannot be prepared: two-phase commit fails on such a table
 * (PREPARE TRANSACTION, SQLSTATE 0A000). Rows that a logical subscription applies run no triggers
 * of statements: such tables are not covered.
 */
import { own } from '../postgres/own-statements.js';
import { SCHEMA } from './installation.js';
import { CHANGES_CHANNEL, CHANGES_FUNCTION, CHANGES_TRIGGER } from './names.js';
import { quotedTable, type TableName } from './table-names.js';

/** The function's body, as the catalogue keeps it: another one does not count. */
export const NOTIFY_BODY = ` begin perform pg_catalog.pg_notify('${CHANGES_CHANNEL}', pg_catalog.concat(tg_relid)); return null; end `;

/** `pg_trigger.tgtype` of a trigger after INSERT (4), DELETE (8), UPDATE (16) or TRUNCATE (32), for each statement. */
export const NOTIFY_TYPE = 60;

/** The command that mends what is missing. */
export const NOTIFY_INSTALL = 'pg-ladder changes install --notify';

const FUNCTION = `${SCHEMA}.${CHANGES_FUNCTION}`;

/**
 * One statement each. They may run again: what is there is made anew.
 * @param tables each partition and each child is to be named as well: statements that name them run
 * their own triggers alone
 */
export function notifyInstallSql(tables: readonly TableName[]): string[] {
  return [
    `create schema if not exists ${SCHEMA}`,
    `create or replace function ${FUNCTION}() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $notify$${NOTIFY_BODY}$notify$`,
    ...tables
      .map(quotedTable)
      .flatMap((table) => [
        `drop trigger if exists ${CHANGES_TRIGGER} on ${table}`,
        `create trigger ${CHANGES_TRIGGER} after insert or update or delete or truncate on ${table} for each statement execute function ${FUNCTION}()`,
        `alter table ${table} enable always trigger ${CHANGES_TRIGGER}`,
      ]),
  ].map((text) => `${text}${own('')}`);
}

/** Drops the triggers, of whatever table, with their function. The schema stays. */
export function notifyRemoveSql(): string[] {
  return [`drop function if exists ${FUNCTION}() cascade${own('')}`];
}
