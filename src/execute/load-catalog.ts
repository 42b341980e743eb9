/** Reads the primary's catalogue on a connection of its pool, where the user's search path holds: as much of it as a process can hold, or nothing. */
import type { QueryConfig, QueryResult } from 'pg';
import { inBackground } from '../async-context.js';
import type { Fleet } from '../nodes/fleet.js';
import { plainTypes, question } from '../postgres/plain-types.js';
import { catalogQuery } from '../sql/catalog-queries.js';
import {
  type CatalogRows,
  CatalogTooLargeError,
  type FunctionRow,
  type KnownFunctions,
  type OperatorRow,
  type RelationRow,
  type ResolutionRow,
  type TypeRow,
} from '../sql/catalog-rows.js';
import { checkout } from './primary.js';

/** In characters of all values: some 600,000 tables, or 60,000 functions of 2 kB. Any role that may create functions can add to them. */
const MAX_LENGTH = 2 ** 27;
/** What a value takes beside its characters. */
const VALUE_LENGTH = 16;

type Types = NonNullable<QueryConfig['types']>;

/**
 * @param known what was read before, and still holds for all functions but those of these names
 * @param stampOf gives a stamp's query, see {@link catalogQuery}
 * @throws CatalogTooLargeError when its values have more than so many characters
 */
export async function loadCatalog(
  { leadership, monitor, settings }: Fleet,
  maxLength = MAX_LENGTH,
  known?: KnownFunctions,
  stampOf?: () => string | undefined,
): Promise<CatalogRows> {
  const isFound = await monitor.until(() => leadership.isSettled, settings.primaryWaitMillis, 'primary');
  if (!isFound) throw new Error('no primary to read the catalogue from');
  const { client } = await checkout(leadership.primary, false, undefined);
  const stamp = stampOf?.();
  let results: QueryResult[];
  try {
    // Its connection is closed at once, whatever is still to come.
    results = await new Promise((resolve, reject) => {
      const types = bounded(maxLength, reject);
      const text = catalogQuery(known?.changed, stamp);
      // pg gives one result for each statement of a text, which its types do not say.
      const asking = (): unknown => client.query({ ...question(text), types });
      const running = inBackground(asking) as Promise<QueryResult[]>;
      running.then(resolve, reject);
    });
  } catch (error) {
    client.release(true);
    throw error;
  }
  client.release();
  const answers = results.filter(({ command }) => command === 'SELECT');
  const stamps = stamp === undefined ? [] : [answers.shift(), answers.pop()].map((answer) => firstValueOf(answer));
  const [path, functions, relations, operators, types, resolution] = answers as [
    QueryResult<{ path: string[] }>,
    QueryResult<FunctionRow>,
    QueryResult<RelationRow>,
    QueryResult<OperatorRow>,
    QueryResult<TypeRow>,
    QueryResult<ResolutionRow>,
  ];
  return {
    searchPath: path.rows[0]?.path ?? [],
    functions: [...(known?.rows.functions.filter(({ name }) => !known.changed.has(name)) ?? []), ...functions.rows],
    relations: relations.rows,
    operators: operators.rows,
    types: types.rows,
    resolution: merged(resolution.rows[0], known?.rows.resolution),
    stamp: known === undefined && stamps[0] === stamps[1] ? stamps[0] : undefined,
  };
}

function firstValueOf(answer: QueryResult | undefined): string | undefined {
  const [value] = Object.values((answer?.rows[0] ?? {}) as Record<string, unknown>);
  return typeof value === 'string' ? value : undefined;
}

/** What was read of built-in objects stays true, and what has no namesake any more does no harm. */
function merged(
  { operators = [], functions = [], records = [], kin = [], casts = [] }: Partial<ResolutionRow> = {},
  known?: ResolutionRow,
): ResolutionRow {
  if (known === undefined) return { operators, functions, records, kin, casts };
  return { operators, functions: [...new Set([...known.functions, ...functions])], records: known.records, kin, casts };
}

/** As the library reads its own answers, until it is too much. */
function bounded(maxLength: number, tooMuch: (error: Error) => void): Types {
  let left = maxLength;
  const getTypeParser = (oid: number, format?: 'text' | 'binary'): unknown => {
    const parse = plainTypes.getTypeParser(oid, format as 'text') as (value: string) => unknown;
    return (value: string): unknown => {
      left -= value.length + VALUE_LENGTH;
      if (left >= 0) return parse(value);
      const error = new CatalogTooLargeError();
      tooMuch(error);
      throw error;
    };
  };
  return { getTypeParser } as Types;
}
