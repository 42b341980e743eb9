/** Reads the primary's catalogue on a connection of its pool, where the user's search path holds. */
import type { QueryResult } from 'pg';
import type { Fleet } from '../nodes/fleet.js';
import { question } from '../nodes/plain-types.js';
import type { CatalogRows, FunctionRow, OperatorRow, RelationRow, TypeRow } from '../sql/catalog.js';
import { CATALOG } from '../sql/catalog-queries.js';
import { checkout } from './primary.js';

export async function loadCatalog({ leadership, monitor, settings }: Fleet): Promise<CatalogRows> {
  const isFound = await monitor.until(() => leadership.isSettled, settings.primaryWaitMillis, 'primary');
  if (!isFound) throw new Error('no primary to read the catalogue from');
  const { client } = await checkout(leadership.primary, false, undefined);
  let results: QueryResult[];
  try {
    // pg gives one result for each statement of a text, which its types do not say.
    results = (await client.query(question(CATALOG))) as unknown as QueryResult[];
  } catch (error) {
    client.release(true);
    throw error;
  }
  client.release();
  const answers = results.filter(({ command }) => command === 'SELECT');
  const [path, functions, relations, operators, types] = answers as [
    QueryResult<{ path: string[] }>,
    QueryResult<FunctionRow>,
    QueryResult<RelationRow>,
    QueryResult<OperatorRow>,
    QueryResult<TypeRow>,
  ];
  return {
    searchPath: path.rows[0]?.path ?? [],
    functions: functions.rows,
    relations: relations.rows,
    operators: operators.rows,
    types: types.rows,
  };
}
