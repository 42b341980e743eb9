/**
 * What is missing so that triggers tell of tables, and what they cost there: for each finding a sentence,
 * and what mends it. It asks a server and changes nothing.
 */
import { InvalidAnswer } from '../postgres/errors.js';
import { own } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import type { Finding } from './installation-check.js';
import { type Asking, tableStates } from './installation-state.js';
import { COVERAGE, type CoverageRow } from './notify-statements.js';
import { NOTIFY_INSTALL } from './notify-triggers.js';
import { shellList } from './table-check.js';
import { quotedTable, type TableName } from './table-names.js';
import { TriggeredTables } from './triggered-tables.js';

/** What a server answers, besides which tables have triggers. */
type SettingsRow = Partial<Record<'prepared' | 'standbys' | 'subscribed', unknown>>;

export const NOTIFY_COSTS = own(`select pg_catalog.current_setting('max_prepared_transactions') as prepared,
  pg_catalog.current_setting('synchronous_standby_names') as standbys,
  array(select pg_catalog.concat(pg_catalog.json_build_array(n.nspname, c.relname)) from pg_catalog.pg_subscription_rel s
    join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) s.srrelid
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace) as subscribed`);

const finding = (severity: Finding['severity'], check: string, what: string, mend: string): Finding => ({
  severity,
  check,
  what,
  mend,
});

/** The errors first. @param tables those that must be told of; none: those that have the triggers */
export async function checkNotify(server: Asking, tables: readonly TableName[]): Promise<Finding[]> {
  const [covered] = (await server.query(question(COVERAGE))).rows as CoverageRow[];
  const triggered = new TriggeredTables(covered, undefined);
  const told = new Set(triggered.tables);
  const { refusals, warnings } = await notifyFindings(server, tables);
  const refused = new Set(refusals.map(({ what }) => what));
  const missing = tables
    .filter(({ schema, name }) => !told.has(`${schema}.${name}`))
    .filter((table) => !refused.has(subscribedWords(table)))
    .map((table) =>
      finding(
        'error',
        'triggers',
        `the triggers of ${quotedTable(table)}, of a parent or of a child are missing, disabled or altered`,
        `${NOTIFY_INSTALL} --tables ${shellList([table])}, also for each parent`,
      ),
    );
  const { problem } = triggered;
  const whole = problem === undefined || missing.length > 0 || refusals.length > 0 ? [] : [problem];
  const broken = whole.map((what) => finding('error', 'triggers', what, `${NOTIFY_INSTALL} --tables <tables>`));
  return [...refusals, ...missing, ...broken, ...warnings];
}

/** Why install refuses tables, and what else it has to say. */
export async function notifyFindings(
  server: Asking,
  tables: readonly TableName[],
): Promise<{ readonly refusals: Finding[]; readonly warnings: Finding[] }> {
  const [row] = (await server.query(question(NOTIFY_COSTS))).rows as SettingsRow[];
  const { prepared, standbys, subscribed } = row ?? {};
  if (!Array.isArray(subscribed)) throw new InvalidAnswer('it tells nothing of subscriptions');
  const keys = new Set(subscribed.map(String).map((text) => JSON.stringify(JSON.parse(text))));
  const parts = tables.length === 0 ? [] : await tableStates(server, tables);
  const refusals = parts
    .filter(({ schema, name }) => keys.has(JSON.stringify([schema, name])))
    .map((table) =>
      finding(
        'error',
        'subscription',
        subscribedWords(table),
        'leave it out, or read the log instead: "pg-ladder changes install" without --notify',
      ),
    );
  const warnings: Finding[] = [];
  if (prepared !== '0') {
    warnings.push(
      finding(
        'warning',
        'max_prepared_transactions',
        'a transaction that changes a table with these triggers cannot be prepared: PREPARE TRANSACTION fails (0A000)',
        'if two-phase commit is used on these tables, read the log instead',
      ),
    );
  }
  if (standbys !== '') {
    warnings.push(
      finding(
        'warning',
        'synchronous_standby_names',
        'a commit that notifies keeps all others that notify waiting until its standby has confirmed it',
        'if these tables are written often, read the log instead',
      ),
    );
  }
  return { refusals, warnings };
}

function subscribedWords(table: TableName): string {
  return `${quotedTable(table)} takes rows of a subscription, and those run no triggers of statements`;
}
