/**
 * What makes the answer of a text differ while its tables stay as they are: the clock, the session,
 * a sample, and functions that depend on them. By names alone: where one of several namesakes is
 * unsteady, all count as it. It knows nothing of users' functions.
 */
import { sessionState, stableBuiltIns, volatileBuiltIns } from './built-ins.js';
import type { Fields } from './tree.js';

/**
 * How the same text with the same values answers again, while the tables stay as they are:
 * - `always` the same;
 * - `scoped` the same in the same session state, such as role and settings;
 * - `timed` other answers as time passes;
 * - `never` to be relied on.
 */
export type Repeats = 'always' | 'scoped' | 'timed' | 'never';

export interface Repeatability {
  readonly repeats: Repeats;
  /** What decided, in words. */
  readonly because: string;
}

export const STEADY: Repeatability = { repeats: 'always', because: 'nothing in it depends on anything but its tables' };

const RANK: Readonly<Record<Repeats, number>> = { always: 0, scoped: 1, timed: 2, never: 3 };

/** The less repeatable one; the first of equals. */
export function lessSteady(a: Repeatability, b: Repeatability): Repeatability {
  return RANK[b.repeats] > RANK[a.repeats] ? b : a;
}

const names = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** STABLE or VOLATILE since they depend on the time. */
const TIMED = names(`
  now transaction_timestamp statement_timestamp clock_timestamp timeofday mxid_age timetz pg_timezone_names
  pg_timezone_abbrevs pg_timezone_abbrevs_abbrevs
`);
/**
 * STABLE only for the sake of settings such as TimeZone, DateStyle and lc_time, or of what types
 * they are given. A cache has these settings in its keys.
 */
const BY_FORMAT = names(`
  anytextcat array_to_json array_to_string concat concat_ws date date_add date_cmp_timestamptz date_eq_timestamptz
  date_ge_timestamptz date_gt_timestamptz date_le_timestamptz date_lt_timestamptz date_ne_timestamptz date_part
  date_subtract date_trunc enum_first enum_last enum_range extract format generate_series in_range
  interval_pl_timestamptz json_agg json_agg_strict json_build_array json_build_object json_object_agg
  json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict json_populate_record
  json_populate_recordset json_to_record json_to_recordset jsonb_agg jsonb_agg_strict jsonb_build_array
  jsonb_build_object jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_array_tz jsonb_path_query_first_tz
  jsonb_path_query_tz jsonb_populate_record jsonb_populate_record_valid jsonb_populate_recordset jsonb_to_record
  jsonb_to_recordset length make_timestamptz money numeric overlaps pg_typeof quote_literal quote_nullable row_to_json
  textanycat time timestamp timestamp_cmp_timestamptz timestamp_eq_timestamptz timestamp_ge_timestamptz
  timestamp_gt_timestamptz timestamp_le_timestamptz timestamp_lt_timestamptz timestamp_ne_timestamptz timestamptz
  timestamptz_cmp_date timestamptz_cmp_timestamp timestamptz_eq_date timestamptz_eq_timestamp timestamptz_ge_date
  timestamptz_ge_timestamp timestamptz_gt_date timestamptz_gt_timestamp timestamptz_le_date timestamptz_le_timestamp
  timestamptz_lt_date timestamptz_lt_timestamp timestamptz_mi_interval timestamptz_ne_date timestamptz_ne_timestamp
  timestamptz_pl_interval to_char to_date to_json to_jsonb to_number to_timestamp
`);
/**
 * STABLE since they depend on the session, or on what stays as long as the database; all others
 * read the catalogue.
 */
const BY_SESSION = names(`
  current_database current_schema current_schemas current_setting current_user get_current_ts_config getdatabaseencoding
  getpgusername json_to_tsvector jsonb_to_tsvector pg_client_encoding phraseto_tsquery plainto_tsquery session_user
  system_user to_tsquery to_tsvector ts_headline ts_match_tq ts_match_tt version websearch_to_tsquery xml_is_well_formed
`);
/** Text search: with so many arguments the configuration is named, else a setting says it. */
const WITH_CONFIGURATION: ReadonlyMap<string, number> = new Map([
  ['to_tsvector', 2],
  ['to_tsquery', 2],
  ['plainto_tsquery', 2],
  ['phraseto_tsquery', 2],
  ['websearch_to_tsquery', 2],
  ['ts_headline', 4],
  ['json_to_tsvector', 3],
  ['jsonb_to_tsvector', 3],
]);
/** Casts to them look into the catalogue. */
const CATALOG_TYPES = /^_?reg(proc|procedure|oper|operator|class|collation|type|role|namespace|config|dictionary)$/;
/** Where a row is stored, and who locks it: VACUUM and locks change that. */
const STORAGE_COLUMNS = names('ctid xmin xmax cmin cmax');
/** What dates and times are read from beside numbers: `'today'::date` is another one tomorrow. */
const MOVING_WORDS = /\b(?:now|today|tomorrow|yesterday)\b/i;

/**
 * Whether PostgreSQL may read a time that moves out of a text: of a constant, or of a parameter's
 * value.
 */
export function mayMove(text: string): boolean {
  return MOVING_WORDS.test(text);
}

/** @param argCount `undefined` where it is not known */
export function steadinessOfBuiltIn(name: string, argCount: number | undefined): Repeatability {
  if (TIMED.has(name) || (name === 'age' && argCount !== 2)) return timed(`${name}()`);
  // Of a time with a time zone it depends on the date; that is noted where such a value is.
  if (name === 'timezone') return STEADY;
  if (volatileBuiltIns.has(name)) return { repeats: 'never', because: `${name}() is VOLATILE` };
  if (sessionState.has(name)) return scoped(`${name}() belongs to its session`);
  if (!stableBuiltIns.has(name) || BY_FORMAT.has(name) || name === 'age') return STEADY;
  if (argCount !== undefined && argCount === WITH_CONFIGURATION.get(name)) return STEADY;
  return scoped(`${name}() is STABLE`);
}

/**
 * Whether a built-in function may read what no relation in the text stands for: PostgreSQL's
 * catalogue.
 */
export function readsCatalog(name: string): boolean {
  return (
    stableBuiltIns.has(name) && !TIMED.has(name) && !BY_FORMAT.has(name) && !BY_SESSION.has(name) && name !== 'age'
  );
}

/** Operators that are built in. */
export function steadinessOfOperator(name: string): Repeatability {
  return name === '@@' ? scoped('@@ may depend on default_text_search_config') : STEADY;
}

/** @param what one of {@link unsteadyColumn}, {@link unsteadyType} and {@link unsteadyValue} */
export function steadinessOf(what: string): Repeatability {
  if (what === 'TABLESAMPLE' || what === 'EXPLAIN') return { repeats: 'never', because: what };
  if (what === 'SHOW') return scoped('SHOW tells of settings');
  if (STORAGE_COLUMNS.has(what)) return { repeats: 'never', because: `${what} tells how a row is stored` };
  if (what === 'xml') return scoped('xml depends on xmloption');
  if (what === MOVING_CONSTANT || what === TIME_WITH_ZONE) return timed(what);
  if (CATALOG_TYPES.test(what)) return scoped(`${what} depends on the catalogue`);
  return /USER|ROLE|CATALOG|SCHEMA/.test(what) ? scoped(`${what} depends on the session`) : timed(what);
}

const MOVING_CONSTANT = "a constant such as 'today'";
const TIME_WITH_ZONE = 'a time with a time zone';

/** Words of plpgsql that are values of SQL. */
export function unsteadyWord(word: string): string | undefined {
  const isValue =
    /^(?:current_(?:date|time|timestamp|user|role|catalog|schema)|localtime|localtimestamp|session_user|user)$/.test(
      word,
    );
  if (isValue) return word.toUpperCase();
  return mayMove(word) && word.length > 'now'.length ? MOVING_CONSTANT : undefined;
}

export function unsteadyColumn(fields: unknown): string | undefined {
  const last = (fields as readonly { String?: { sval?: string } }[]).at(-1)?.String?.sval;
  return last !== undefined && STORAGE_COLUMNS.has(last) ? last : undefined;
}

export function unsteadyType(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  if (name === 'timetz' || name === '_timetz') return TIME_WITH_ZONE;
  return name === 'xml' || CATALOG_TYPES.test(name) ? name : undefined;
}

/** Of a node `SQLValueFunction` or `A_Const`. */
export function unsteadyValue(type: string, node: Fields): string | undefined {
  if (type === 'SQLValueFunction') return String(node['op']).replace(/^SVFOP_|_N$/g, '');
  const { sval } = Object(node['sval']) as { sval?: string };
  return sval !== undefined && mayMove(sval) ? MOVING_CONSTANT : undefined;
}

function timed(what: string): Repeatability {
  return { repeats: 'timed', because: `${what} depends on the time` };
}

function scoped(because: string): Repeatability {
  return { repeats: 'scoped', because };
}
