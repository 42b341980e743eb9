/**
 * What decides how a connection writes its answers, beside the statement: its database, its roles and
 * its settings. It asks for them, and says whether two connections are alike. What a setting of the
 * application's own means, which policies or functions may read, it does not know.
 */
import { createHash } from 'node:crypto';
import pg, { type Client, type PoolClient } from 'pg';
import { codeOf, InvalidAnswer } from '../postgres/errors.js';
import { parsersOf } from '../postgres/internals.js';
import { ANSWER_SETTINGS } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import type { ParserSource } from '../postgres/prepared-query.js';

/** Where an answer comes from, as far as its text goes by that. */
export interface AnswerSource {
  /** The server: see {@link Identity.server}. */
  readonly server: string;
  /**
   * Equal for connections that write the same answer alike: a digest of database, roles and settings.
   * `undefined` while unknown.
   */
  readonly settings: string | undefined;
  /** pg's parsers of that connection, with those that were set on it. It holds no client. */
  readonly types: Required<ParserSource>;
}

/** One of which all is known. */
export interface SettledSource extends AnswerSource {
  readonly settings: string;
}

/** What was found out about a connection. */
export interface KnownSource {
  readonly source: SettledSource;
  /** Equal for connections whose answers are written and parsed alike, as far as that can be told. */
  readonly likeness: string;
  /** What `settings` is made of, by name. */
  readonly values: ReadonlyMap<string, string>;
}

/**
 * Settings that decide which rows the same text gives, or how they are written, each with what it
 * is while it is not set: the settings of an extension are not there before it is loaded.
 */
const SETTINGS: ReadonlyMap<string, string> = new Map([
  ...`search_path TimeZone timezone_abbreviations DateStyle IntervalStyle extra_float_digits bytea_output
  lc_messages lc_monetary lc_numeric lc_time client_encoding standard_conforming_strings backslash_quote array_nulls
  transform_null_equals quote_all_identifiers default_text_search_config xmlbinary xmloption row_security is_superuser
  lo_compat_privileges session_replication_role restrict_nonsystem_relation_kind gin_fuzzy_search_limit zero_damaged_pages`
    .split(/\s+/)
    .map((name): [string, string] => [name, '']),
  ['plpgsql.variable_conflict', 'error'],
  ['pg_trgm.similarity_threshold', '0.3'],
  ['pg_trgm.word_similarity_threshold', '0.6'],
  ['pg_trgm.strict_word_similarity_threshold', '0.5'],
  ['hnsw.ef_search', '40'],
  ['hnsw.iterative_scan', 'off'],
  ['hnsw.max_scan_tuples', '20000'],
  ['ivfflat.probes', '1'],
  ['ivfflat.iterative_scan', 'off'],
  ['ivfflat.max_probes', '32768'],
]);

/** Of what PostgreSQL reports by itself, all that says that the source is another one now. */
const REPORTED = new Set([...SETTINGS.keys(), 'session_authorization'].map((name) => name.toLowerCase()));

/** Digests are compared, and stand in keys: half of a sha256 is plenty. */
const DIGEST_LENGTH = 32;

/** As PostgreSQL answers; a server may answer anything. */
export type AnswerSettingsRow = Partial<Record<'database' | 'roles' | 'settings', unknown>>;

/** Whether a change of that parameter, which the server has reported, changes how answers are written. */
export function decidesAnswers(parameter: string): boolean {
  return REPORTED.has(parameter.toLowerCase());
}

/** How answers are parsed, of a connection whose settings are unknown. @returns `undefined` where not even that can be told */
export function unsettledSource(client: object, server: string): AnswerSource | undefined {
  const types = parsersOf(client);
  return types === undefined ? undefined : { server, settings: undefined, types };
}

/**
 * Asks on a connection.
 * @param answered called once, right when the answer has been read; with words where there is none
 */
export function askSource(
  client: Client | PoolClient,
  server: string,
  answered: (found: KnownSource | string) => void,
): void {
  const asked = question(ANSWER_SETTINGS, [[...SETTINGS.keys()]]);
  client.query<AnswerSettingsRow>(asked, (error: Error | null | undefined, result) => {
    try {
      answered(error ? refusalOf(error) : knownSource(result?.rows[0], client, server));
    } catch (failure) {
      answered(refusalOf(failure));
    }
  });
}

/** @throws InvalidAnswer */
export function knownSource(row: AnswerSettingsRow | undefined, client: object, server: string): KnownSource {
  const types = parsersOf(client);
  if (types === undefined) throw new InvalidAnswer('its client has no parsers of its own');
  const values = valuesOf(row);
  const settings = digestOf(JSON.stringify([...values]));
  return { source: { server, settings, types }, likeness: `${settings}${digestOf(parsing(types))}`, values };
}

function valuesOf(row: AnswerSettingsRow | undefined): Map<string, string> {
  const [database = '', databaseOid = ''] = texts(row?.database, 'its database');
  const [role = '', sessionRole = ''] = texts(row?.roles, 'its roles');
  if (databaseOid === '' || role === '') throw new InvalidAnswer('it does not say who asks it for what');
  const values = new Map([
    ['database', `${database} (${databaseOid})`],
    ['role', role],
    ['session_user', sessionRole],
  ]);
  const told = new Map(texts(row?.settings, 'its settings').map(divided));
  for (const [name, unset] of SETTINGS) values.set(name, told.get(name) || unset);
  return values;
}

function divided(setting: string): [name: string, value: string] {
  const at = setting.indexOf('=');
  return [setting.slice(0, at), setting.slice(at + 1)];
}

function texts(value: unknown, what: string): string[] {
  if (!Array.isArray(value) || value.some((one) => typeof one !== 'string'))
    throw new InvalidAnswer(`${what} cannot be read`);
  return value as string[];
}

/** pg's way to keep parsers: those set here, and behind them others. */
interface Overrides {
  readonly text?: Readonly<Record<string, unknown>>;
  readonly binary?: Readonly<Record<string, unknown>>;
  readonly _types?: unknown;
  readonly getTypeParser?: unknown;
}

/** In words: two functions of the same text count as one, since `onConnect` makes new ones each time. */
function parsing(types: unknown, depth = 0): string {
  // pg's own, and whatever the application has put there for all connections.
  if (types === pg.types || typeof types !== 'object' || types === null || depth > 3) return '';
  const { text = {}, binary = {}, getTypeParser, _types } = types as Overrides;
  const own = [text, binary].map((parsers) => Object.entries(parsers).map(([oid, parse]) => `${oid}:${String(parse)}`));
  return JSON.stringify([own, String(getTypeParser), parsing(_types, depth + 1)]);
}

function refusalOf(error: unknown): string {
  return `the settings of a connection could not be asked for (${codeOf(error) ?? 'no answer that can be read'})`;
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_LENGTH);
}
