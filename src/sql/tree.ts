/** Reads single nodes of the grammar's tree. It decides nothing. */

/** The fields of a node. */
export type Fields = Record<string, unknown>;

/** The name of an object; `schema` is `undefined` where the search path decides. */
export interface Name {
  readonly schema: string | undefined;
  readonly name: string;
}

export interface WithClause {
  readonly ctes?: readonly { readonly CommonTableExpr: { readonly ctename: string } }[];
  readonly recursive?: boolean;
}

export function nameOf(parts: unknown): Name | undefined {
  if (!Array.isArray(parts)) return undefined;
  const texts = (parts as { String?: { sval?: string } }[]).map(({ String: part }) => part?.sval ?? '');
  const name = texts.at(-1);
  return name === undefined ? undefined : { schema: texts.at(-2), name };
}

/** The columns of a subquery; `undefined` where its text does not name them all. */
export function columnsOf({ subquery, alias }: Fields): ReadonlySet<string> | undefined {
  const { targetList = [], op } = Object((Object(subquery) as { SelectStmt?: Fields }).SelectStmt) as Fields;
  if (op !== 'SETOP_NONE' || (Object(alias) as Fields)['colnames'] !== undefined) return undefined;
  const names = (targetList as { ResTarget: Fields }[]).map(({ ResTarget: { name, val } }) => {
    const { fields = [] } = Object((Object(val) as { ColumnRef?: Fields }).ColumnRef) as { fields?: Fields[] };
    return name ?? (fields.at(-1)?.['String'] as { sval?: string } | undefined)?.sval;
  });
  return names.length === 0 || names.includes(undefined) ? undefined : new Set(names as string[]);
}

export function isTemporary({ relation, into, view, sequence }: Fields): boolean {
  const made = (relation ?? (into as Fields | undefined)?.['rel'] ?? view ?? sequence) as Fields | undefined;
  return made?.['relpersistence'] === 't' || made?.['schemaname'] === 'pg_temp';
}

/** A transaction's mode and its value; of numbers 0 is not written down. */
export function modeOf({ defname, arg }: Fields): [string, string] {
  const { sval, ival } = ((arg as Fields)['A_Const'] ?? {}) as { sval?: { sval?: string }; ival?: { ival?: number } };
  return [String(defname), String(sval?.sval ?? ival?.ival ?? 0)];
}

/**
 * An option's value as DefElem carries it: nothing at all means on. `undefined` for one that
 * PostgreSQL would not take.
 */
export function switchOf(arg: unknown): boolean | undefined {
  if (arg === undefined) return true;
  const [node] = Object.values(arg as Record<string, { sval?: string; boolval?: boolean; ival?: number }>);
  const value = String(node?.sval ?? node?.boolval ?? node?.ival ?? 0).toLowerCase();
  if (['on', 'true', '1'].includes(value)) return true;
  return ['off', 'false', '0'].includes(value) ? false : undefined;
}
