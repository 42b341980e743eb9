/**
 * Asks a server whether the change stream works there, and what install would have to run. It changes
 * nothing.
 */
import { InvalidAnswer } from '../postgres/errors.js';
import { question } from '../postgres/plain-types.js';
import { definitionsSql, publicationSql } from './installation.js';
import { type Finding, serverFindings } from './installation-check.js';
import { type Asking, serverState, tableStates } from './installation-state.js';
import { Publication, type PublicationRow, publicationQuery } from './publication.js';
import { publicationFindings, publishedTables, tableFindings, unmendable } from './table-check.js';
import type { TableName } from './table-names.js';

/**
 * What is missing, for each finding how it is mended; the errors first.
 * @param tables those that must be told of; none: those that the publication names
 */
export async function checkInstallation(
  server: Asking,
  publication: string,
  tables: readonly TableName[],
): Promise<Finding[]> {
  const state = await serverState(server, publication);
  const { rows } = await server.query(question(publicationQuery(publication, state.version)));
  const [row] = rows as PublicationRow[];
  if (row === undefined) throw new InvalidAnswer('it tells nothing of publications');
  const told = new Set(new Publication(row).tables);
  const known = new Map(
    [...tables, ...(state.publication?.tables ?? [])].map((one) => [JSON.stringify([one.schema, one.name]), one]),
  );
  const found = await tableStates(server, [...known.values()]);
  const unfit = tableFindings(found, state.version);
  // A table without replica identity must not be added before that is mended.
  const isFit = ({ schema, name }: TableName): boolean => {
    const parts = found.filter(({ root }) => root.schema === schema && root.name === name);
    return tableFindings(parts, state.version).length === 0;
  };
  const isAsked = (one: TableName): boolean =>
    tables.some(({ schema, name }) => one.schema === schema && one.name === name);
  const asked = publishedTables(found).filter((one) => isAsked(one) && isFit(one));
  const findings = [...serverFindings(state), ...publicationFindings(publication, state, asked, told), ...unfit];
  return findings.sort((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'));
}

export interface InstallationPlan {
  /** Why nothing must be run; where there are any, the rest is not to be used. */
  readonly refusals: readonly Finding[];
  /** The publication. */
  readonly required: readonly string[];
  /** What tells of definitions: it goes on without, where the role may not. */
  readonly optional: readonly string[];
}

/** @param tables at least one */
export async function planInstallation(
  server: Asking,
  publication: string,
  tables: readonly TableName[],
): Promise<InstallationPlan> {
  const state = await serverState(server, publication);
  const found = await tableStates(server, tables);
  const members = publishedTables(found).flatMap((table) => table.members);
  const known = state.publication;
  const refusals = [
    ...tableFindings(found, state.version),
    ...(known === null ? [] : unmendable(publication, known, tables)),
  ];
  return { refusals, required: publicationSql(publication, members, known ?? undefined), optional: definitionsSql() };
}
