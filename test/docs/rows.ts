/** Compares the rows of a page's tables with what the code has. */
import type { Table } from './pages.js';

export interface Asked {
  /** Each has a row. A name that two things have may have two. */
  readonly required: readonly string[];
  /** May have a row, too. */
  readonly allowed: readonly string[];
}

export interface Row {
  readonly name: string;
  readonly line: number;
}

/** Tables whose first column is called like this list what the code has; other tables say what they like. */
const LISTS = /^(option|reason|code|event|warning|field|stat|statistic|hint|word|switch)s?$/i;

/** `lane.connections`, `connections?`, `nodes[].name` and `demo --seed <n>` as the name alone. */
function nameOf(code: string): string {
  const flag = /--[\w-]+/.exec(code)?.[0];
  if (flag !== undefined) return flag;
  const [plain = ''] = code.trim().split(/[ =:(<]/);
  return plain.replace(/\?$/, '').split('.').at(-1) ?? '';
}

/** The names in the first cells of the lists among `tables`. */
export function rowsOf(tables: readonly Table[]): Row[] {
  return tables
    .filter(({ head: [first = ''] }) => LISTS.test(first.replace(/[`*_]/g, '').trim()))
    .flatMap(({ rows }) => rows)
    .flatMap(({ line, cells: [first = ''] }) => {
      if (!/^(<a [^>]*><\/a>|\*\*|\[)?\s*`/.test(first)) return [];
      const codes = [...first.matchAll(/`([^`]+)`/g)].map(([, code = '']) => nameOf(code.replaceAll('\\|', '|')));
      // beside its name a cell may say a type; names that share a row stand alone, with commas
      const isNamesOnly = /^[\s,/]*(and|or)?[\s,/]*$/.test(
        first
          .replace(/<[^>]+>/g, '')
          .replace(/`[^`]+`/g, '')
          .replace(/\b(and|or)\b/g, ''),
      );
      return (isNamesOnly ? codes : codes.slice(0, 1)).map((name) => ({ name, line }));
    });
}

/** What is wrong with `rows`. */
export function missingAndUnknown({ required, allowed }: Asked, rows: readonly Row[]): string[] {
  const complaints: string[] = [];
  const things = [...required, ...allowed];
  const seen = new Map<string, number>();
  for (const { name, line } of rows) {
    const most = things.filter((thing) => thing === name).length;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    if (most === 0) complaints.push(`line ${line}: \`${name}\` is nothing that the code has`);
    else if (count > most)
      complaints.push(
        `line ${line}: \`${name}\` has ${count} rows, and ${most} thing${most > 1 ? 's have' : ' has'} that name`,
      );
  }
  return [
    ...complaints,
    ...[...new Set(required)].filter((name) => !seen.has(name)).map((name) => `\`${name}\` has no row`),
  ];
}
