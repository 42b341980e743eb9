import type pg from 'pg';
import { plainTypes } from '../../src/postgres/plain-types.js';
import { CATALOG } from '../../src/sql/catalog-queries.js';
import type { CatalogRows } from '../../src/sql/catalog-rows.js';

/** The catalogue as one connection sees it. */
export async function catalogOf(client: pg.ClientBase): Promise<CatalogRows> {
  const results = (await client.query({ text: CATALOG, types: plainTypes })) as unknown as pg.QueryResult[];
  const [path, functions, relations, operators, types, resolution] = results.filter(
    ({ command }) => command === 'SELECT',
  );
  return {
    searchPath: path?.rows[0].path,
    functions: functions?.rows,
    relations: relations?.rows,
    operators: operators?.rows,
    types: types?.rows,
    resolution: resolution?.rows[0],
  } as CatalogRows;
}
