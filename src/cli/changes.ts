/**
 * `pg-ladder changes`: sets up the change stream in a database, takes it back, and says what is missing.
 * It shows each statement before it runs it, and runs them in one transaction.
 */
import pg from 'pg';
import { checkInstallation, planInstallation } from '../changes/check-installation.js';
import { BEGIN_INSTALLATION, definitionsSql, publicationSql, removalSql } from '../changes/installation.js';
import type { Finding } from '../changes/installation-check.js';
import { tableStates } from '../changes/installation-state.js';
import { checkNotify, notifyFindings } from '../changes/notify-check.js';
import { notifyInstallSql, notifyRemoveSql } from '../changes/notify-triggers.js';
import type { TableName } from '../changes/table-names.js';
import { nodesFromUrl } from '../options/servers.js';
import { COMMIT, PROBE_ROLE, RELEASE_SAVEPOINT, SAVEPOINT, UNDO_SAVEPOINT } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import { printable, printableJson, printableLines } from '../printable.js';
import type { ChangesCommand } from './changes-options.js';

/** What belongs on stdout, and the exit code. */
export interface Outcome {
  readonly output: string;
  readonly code: 0 | 1;
}

const CONNECT_MILLIS = 10_000;
const NOT_ALLOWED = '42501';
const WITHOUT_TRIGGERS = `-- This role may not create event triggers: that needs a superuser, or the service's own role for it.
-- The publication is there. Changes of definitions are looked for in the catalogue of a replica instead;
-- without a replica nothing stays current. For event triggers, run this again as a superuser.
`;
const ROLE_NOTE =
  '-- What follows needs a superuser, or the service’s own role for event triggers; it may be left out.\n';

/** @param write shows what is about to be run */
export async function changes(
  command: ChangesCommand,
  signal: AbortSignal,
  write: (text: string) => void = (text) => void process.stdout.write(text),
): Promise<Outcome> {
  const { url } = command;
  if (url === undefined) return { output: unseen(command), code: 0 };
  const client = await primaryOf(url, signal);
  let interrupt = (): void => undefined;
  const interrupted = new Promise<never>((_, reject) => {
    interrupt = () => reject(new Error('interrupted: nothing was changed'));
    signal.addEventListener('abort', interrupt, { once: true });
  });
  try {
    return await Promise.race([run(client, command, signal, write), interrupted]);
  } finally {
    signal.removeEventListener('abort', interrupt);
    // In the middle of a transaction the server rolls it back.
    await client.end().catch(() => undefined);
  }
}

async function run(
  client: pg.Client,
  command: ChangesCommand,
  signal: AbortSignal,
  write: (text: string) => void,
): Promise<Outcome> {
  const { action, publication, tables } = command;
  if (action === 'check') {
    const findings = command.notify
      ? await checkNotify(client, tables)
      : await checkInstallation(client, publication, tables);
    const isWell = findings.every(({ severity }) => severity === 'warning');
    const output = command.json ? `${printableJson({ isWell, findings })}\n` : told(findings);
    return { output, code: isWell ? 0 : 1 };
  }
  if (action === 'remove') {
    const statements = removal(publication);
    if (command.print) return { output: script(statements), code: 0 };
    await inTransaction(client, signal, write, (send) => send(statements));
    return { output: '-- Removed.\n', code: 0 };
  }
  if (command.notify) {
    const statements = notifyInstallSql(await notifyingTables(client, tables));
    const { refusals, warnings } = await notifyFindings(client, tables);
    if (refusals.length > 0) throw new Error(`install has changed nothing:\n${told(refusals).trimEnd()}`);
    const notes = warnings.map(({ what, mend }) => `-- Warning: ${shown(what)}; ${shown(mend)}.\n`).join('');
    if (command.print) return { output: `${notes}${script(statements)}`, code: 0 };
    await inTransaction(client, signal, write, (send) => send(statements));
    return { output: `${notes}-- Installed. New partitions and children need it again.\n`, code: 0 };
  }
  const { refusals, required, optional } = await planInstallation(client, publication, tables);
  if (refusals.length > 0) throw new Error(`install has changed nothing:\n${told(refusals).trimEnd()}`);
  if (command.print) return { output: script(required, optional), code: 0 };
  let output = '-- Installed. Run "pg-ladder changes check" for what the server itself still needs.\n';
  await inTransaction(client, signal, write, async (send) => {
    await send(required);
    await send([SAVEPOINT]);
    try {
      await send(optional);
      await send([RELEASE_SAVEPOINT]);
    } catch (error) {
      if ((error as { code?: unknown }).code !== NOT_ALLOWED) throw error;
      output = `${WITHOUT_TRIGGERS}${output}`;
      await send(UNDO_SAVEPOINT.split(/(?<=\*\/); /));
    }
  });
  return { output, code: 0 };
}

/** With their partitions and children. @throws what can have no such triggers */
async function notifyingTables(client: pg.Client, tables: readonly TableName[]): Promise<readonly TableName[]> {
  const states = await tableStates(client, tables);
  const unfit = states.filter(({ kind, persistence }) => (kind !== 'r' && kind !== 'p') || persistence !== 'p');
  if (unfit.length === 0) return states;
  const names = unfit.map(({ root: { schema, name } }) => `${schema}.${name}`).join(', ');
  throw new Error(`install has changed nothing: no table that keeps what is written: ${printable(names)}`);
}

/** All that either way has installed. */
function removal(publication: string): string[] {
  return [...notifyRemoveSql(), ...removalSql(publication)];
}

type Send = (statements: readonly string[]) => Promise<void>;

async function inTransaction(
  client: pg.Client,
  signal: AbortSignal,
  write: (text: string) => void,
  task: (send: Send) => Promise<void>,
): Promise<void> {
  const send: Send = async (statements) => {
    for (const text of statements) {
      signal.throwIfAborted();
      write(script([text]));
      await client.query(question(text));
    }
  };
  await send(BEGIN_INSTALLATION);
  await task(send);
  await send([COMMIT]);
}

/** As a person may run it: with psql, or anywhere else. */
function script(statements: readonly string[], optional: readonly string[] = []): string {
  const lines = (texts: readonly string[]): string => texts.map((text) => `${text};\n`).join('');
  return printableLines(`${lines(statements)}${optional.length === 0 ? '' : ROLE_NOTE}${lines(optional)}`);
}

/** For a database that has not been looked at. */
function unseen({ action, publication, tables, notify }: ChangesCommand): string {
  if (action === 'remove') return script(removal(publication));
  if (notify) return script(notifyInstallSql(tables));
  const note = '-- No server was asked whether these tables can be published: see --url.\n';
  return `${note}${script(publicationSql(publication, tables), definitionsSql())}`;
}

function told(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'Nothing is missing.\n';
  return findings
    .map(({ severity, check, what, mend }) => `${severity} ${check}: ${shown(what)}\n  mend: ${shown(mend)}\n`)
    .join('');
}

const shown = (text: string): string => printable(text, 4_000);

/** The one of several servers that takes writes. @throws what keeps the last one from answering */
async function primaryOf(url: string, signal: AbortSignal): Promise<pg.Client> {
  const nodes = nodesFromUrl(url);
  let problem: unknown;
  for (const node of nodes) {
    signal.throwIfAborted();
    const { connectionString } = node as { connectionString: string };
    const client = new pg.Client({
      connectionString,
      application_name: 'pg-ladder changes',
      connectionTimeoutMillis: CONNECT_MILLIS,
    });
    client.on('error', () => {}); // a lost connection fails the query as well
    try {
      await client.connect();
      if (nodes.length === 1) return client;
      const { rows } = await client.query<{ in_recovery: boolean }>(question(PROBE_ROLE));
      if (rows[0]?.in_recovery === false) return client;
      problem = new Error('none of these servers is the primary');
    } catch (error) {
      problem = error;
    }
    await client.end().catch(() => undefined);
  }
  throw problem;
}
