/** What is asked of `pg-ladder changes`. It reads the command line, and nothing else. */
import { parseArgs } from 'node:util';
import { PUBLICATION } from '../changes/names.js';
import { checkedName, type TableName, tableNames } from '../changes/table-names.js';
import { UsageError } from './usage.js';

const ACTIONS = ['install', 'remove', 'check'] as const;

export interface ChangesCommand {
  readonly action: (typeof ACTIONS)[number];
  readonly tables: readonly TableName[];
  readonly publication: string;
  /** `undefined`: no server is asked, the SQL is only shown. */
  readonly url: string | undefined;
  /** Triggers that notify, in place of the log. */
  readonly notify: boolean;
  readonly print: boolean;
  readonly json: boolean;
}

const STRING = { type: 'string' } as const;
const FLAG = { type: 'boolean', default: false } as const;
/** Which switches an action takes. */
const SWITCHES = {
  install: ['url', 'publication', 'tables', 'notify', 'print'],
  remove: ['url', 'publication', 'print'],
  check: ['url', 'publication', 'tables', 'notify', 'json'],
} as const;

/** @throws UsageError */
export function changesOptions(args: readonly string[], env: NodeJS.ProcessEnv): ChangesCommand {
  const { values, positionals } = parse(args);
  const [given, ...more] = positionals;
  const action = ACTIONS.find((one) => one === given);
  if (action === undefined || more.length > 0) throw new UsageError(`changes: expected one of ${ACTIONS.join(', ')}`);
  const allowed: readonly string[] = SWITCHES[action];
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== false && !allowed.includes(name)) {
      throw new UsageError(`changes ${action}: --${name} has no meaning here`);
    }
  }
  const url = values.url ?? (env['DATABASE_URL'] === '' ? undefined : env['DATABASE_URL']);
  if (url === '' || (url === undefined && !values.print)) {
    throw new UsageError(`changes ${action}: expected --url, or DATABASE_URL to be set`);
  }
  const tables = values.tables === undefined ? [] : named('--tables', () => tableNames(values.tables ?? ''));
  if (action === 'install' && tables.length === 0) throw new UsageError('changes install: expected --tables');
  const publication = named('--publication', () => checkedName(values.publication ?? PUBLICATION));
  if (values.notify && values.publication !== undefined)
    throw new UsageError('changes: --notify needs no --publication');
  return { action, tables, publication, url, notify: values.notify, print: values.print, json: values.json };
}

function named<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UsageError(`changes: ${option}: ${(error as Error).message}`);
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: { url: STRING, publication: STRING, tables: STRING, notify: FLAG, print: FLAG, json: FLAG },
    });
  } catch (error) {
    throw new UsageError(`changes: ${(error as Error).message}`);
  }
}
