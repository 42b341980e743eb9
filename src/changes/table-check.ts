/**
 * Whether tables can be told of, and whether a publication tells of them: for each finding a sentence, and
 * the exact statement that mends it. It asks nothing and changes nothing.
 */
import type { Finding } from './installation-check.js';
import type { PublicationFacts, ServerState, TableState } from './installation-state.js';
import { quotedIdentifier, quotedTable, type TableName } from './table-names.js';

/** What no log tells of, and what to do instead. */
const UNTOLD: Readonly<Record<string, readonly [kind: string, mend: string]>> = {
  f: ['a foreign table', 'leave it out: answers that depend on it only grow old'],
  m: ['a materialized view', 'leave it out: answers that depend on it only grow old'],
  v: ['a view', 'name the tables that it reads instead'],
  S: ['a sequence', 'leave it out'],
};
const FIRST_WITH_GENERATED = 180_000;

const error = (check: string, what: string, mend: string): Finding => ({ severity: 'error', check, what, mend });

/** Why the tables cannot be published: install refuses all of these. */
export function tableFindings(tables: readonly TableState[], version: number): Finding[] {
  return tables.flatMap((table) => ofKind(table) ?? ofIdentity(table, version));
}

/** `undefined` for a table that the log tells of. */
function ofKind(table: TableState): Finding[] | undefined {
  const name = quotedTable(table.kind === undefined ? table.root : table);
  if (table.kind === undefined) {
    return [error('table', `${name} does not exist`, 'name it as it is stored: letters are not folded to lower case')];
  }
  const [kind, mend] = UNTOLD[table.kind] ?? [];
  if (kind !== undefined) return [error('table', `${name} is ${kind}, and no log tells of its changes`, mend ?? '')];
  if (table.isSystem) return [error('table', `${name} belongs to the system's catalogue`, 'leave it out')];
  if (table.persistence === 't') return [error('table', `${name} is a temporary table`, 'leave it out')];
  if (table.persistence === 'u') {
    return [error('table', `${name} is unlogged, and no log tells of its changes`, `alter table ${name} set logged`)];
  }
  // A partitioned table has no rows of its own.
  return table.kind === 'p' ? [] : undefined;
}

function ofIdentity(table: TableState, version: number): Finding[] {
  const isRefused = table.hasGeneratedKey && version >= FIRST_WITH_GENERATED;
  if (table.isIdentified && !isRefused) return [];
  const name = quotedTable(table);
  const why = table.isIdentified
    ? 'a generated column is in the replica identity of'
    : table.identity === 'n'
      ? 'the replica identity is NOTHING for'
      : 'there is no usable replica identity for';
  return [
    error(
      'replica_identity',
      `${why} ${name}: once it is published, PostgreSQL refuses UPDATE and DELETE`,
      identityMend(table, name),
    ),
  ];
}

function identityMend({ index, hasPrimaryKey }: TableState, name: string): string {
  if (index !== null) return `alter table ${name} replica identity using index ${quotedIdentifier(index)}`;
  if (hasPrimaryKey) return 'add a unique index that is not deferrable, on columns that are NOT NULL and not generated';
  return `alter table ${name} add primary key (…), with the columns that tell its rows apart`;
}

/** A table, and what a publication has to name for it. */
export interface PublishedTable extends TableName {
  readonly members: readonly TableName[];
}

/** Each table without its partitions, and with its children. */
export function publishedTables(found: readonly TableState[]): PublishedTable[] {
  return found
    .filter(({ isChild }) => !isChild)
    .map(({ root }) => ({
      ...root,
      members: found
        .filter((one) => one.root.schema === root.schema && one.root.name === root.name)
        .filter(({ isChild, isPartition }) => !(isChild && isPartition))
        .map(({ schema, name }) => ({ schema, name })),
    }));
}

/** What is wrong with the publication. @param asked the tables that it must tell of; none: those that it names */
export function publicationFindings(
  name: string,
  { publication }: Pick<ServerState, 'publication'>,
  asked: readonly PublishedTable[],
  told: ReadonlySet<string>,
): Finding[] {
  const quoted = quotedIdentifier(name);
  if (publication === null) {
    return [error('publication', `the publication ${quoted} does not exist`, install(name, asked))];
  }
  const findings = [...unmendable(name, publication, asked)];
  const add = (what: string, mend: string): void => void findings.push(error('publication', what, mend));
  if (!publication.hasAllOperations) {
    add(
      `${quoted} leaves out one of insert, update, delete and truncate`,
      `alter publication ${quoted} set (publish = 'insert, update, delete, truncate')`,
    );
  }
  if (publication.tables.length === 0 && !publication.allTables && publication.schemas.length === 0) {
    add(`${quoted} names no table`, install(name, asked));
  }
  const members = new Set(publication.tables.map(quotedTable));
  for (const table of asked.filter((one) => !told.has(`${one.schema}.${one.name}`))) {
    const missing = table.members.map(quotedTable).filter((member) => !members.has(member));
    // Where the publication itself does not do, no table of it is told of.
    if (missing.length === 0 && findings.length > 0) continue;
    add(
      `${quoted} does not tell of ${quotedTable(table)}, or not of all its children`,
      missing.length === 0 ? install(name, [table]) : `alter publication ${quoted} add table ${missing.join(', ')}`,
    );
  }
  return findings;
}

/** What install leaves alone, since somebody has made it so on purpose: it refuses these. */
export function unmendable(name: string, found: PublicationFacts, asked: readonly TableName[]): Finding[] {
  const quoted = quotedIdentifier(name);
  const findings: Finding[] = [];
  const add = (what: string, mend: string): void => void findings.push(error('publication', what, mend));
  if (found.allTables) {
    add(
      `${quoted} publishes all tables: those without replica identity refuse UPDATE and DELETE`,
      `drop publication ${quoted}; then ${install(name, asked)}`,
    );
  }
  if (found.schemas.length > 0) {
    add(
      `${quoted} publishes whole schemas: new tables without replica identity refuse UPDATE and DELETE`,
      `alter publication ${quoted} drop tables in schema ${found.schemas.map(quotedIdentifier).join(', ')}`,
    );
  }
  for (const table of found.tables.filter(({ isCut }) => isCut)) {
    const cut = quotedTable(table);
    add(
      `${quoted} filters rows or columns of ${cut}`,
      `alter publication ${quoted} drop table ${cut}; alter publication ${quoted} add table ${cut}`,
    );
  }
  if (found.byRoot) {
    add(
      `${quoted} publishes partitions by their root, and so does not tell of each TRUNCATE`,
      `alter publication ${quoted} set (publish_via_partition_root = false)`,
    );
  }
  return findings;
}

function install(publication: string, tables: readonly TableName[]): string {
  const list = tables.length === 0 ? '<tables>' : shellList(tables);
  const option = publication === 'pg_ladder' ? '' : ` --publication ${shell(publication)}`;
  return `pg-ladder changes install --tables ${list}${option}`;
}

/** As the command takes them, in a shell. */
export function shellList(tables: readonly TableName[]): string {
  return shell(tables.map(({ schema, name }) => listed(schema, name)).join(','));
}

function listed(...parts: readonly string[]): string {
  return parts.map((part) => (/^[^\s",.]+$/.test(part) ? part : `"${part.replaceAll('"', '""')}"`)).join('.');
}

function shell(word: string): string {
  return /^[\w.,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
