/** How the library reads the answers to its own questions: as PostgreSQL writes them, whatever parsers the user has set for his. */
import pg, { type QueryConfig } from 'pg';

const BOOL = 16;
const INT4 = 23;
const TEXT_ARRAY = 1009;

type Parser = (value: string) => unknown;

/** Taken before the application sets its own. */
const parseTexts = pg.types.getTypeParser(TEXT_ARRAY as number, 'text') as Parser;

const parsers = new Map<number, Parser>([
  [BOOL, (text) => text === 't'],
  [INT4, Number],
  [TEXT_ARRAY, parseTexts],
]);

const asText: Parser = (text) => text;

export const plainTypes = {
  getTypeParser: (oid: number, format?: string): unknown =>
    format === 'binary' ? pg.types.getTypeParser(oid, 'binary') : (parsers.get(oid) ?? asText),
} as NonNullable<QueryConfig['types']>;

/** A question of the library's own, as pg takes it. */
export function question(text: string, values?: unknown[], name?: string): QueryConfig {
  return {
    text,
    types: plainTypes,
    ...(values === undefined ? {} : { values }),
    ...(name === undefined ? {} : { name }),
  };
}
