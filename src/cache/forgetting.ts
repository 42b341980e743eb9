/** What is to be forgotten: by tables, by tags, or by statement. Pure. */
import type { Dependencies } from '../sql/dependencies.js';

/** Which kept answers are forgotten: all that fit any of these. */
export interface Forgotten {
  /** Answers that depend on any of these: `products` stands for that name in any schema. */
  readonly tables?: readonly string[] | undefined;
  /** Answers with any of these tags. */
  readonly tags?: readonly string[] | undefined;
  /** Answers of statements with that digest, see `explain()`. */
  readonly digest?: string | undefined;
}

/** An answer, as far as it matters for that. */
export interface Forgettable {
  readonly text: { readonly digest: string; readonly dependencies: Dependencies };
  readonly tags: readonly string[];
  /** Tables that its caller named. */
  readonly named: readonly string[];
}

export function isForgotten({ text, tags, named }: Forgettable, forgotten: Forgotten): boolean {
  const { digest, dependencies } = text;
  if (forgotten.digest !== undefined && forgotten.digest === digest) return true;
  if (forgotten.tags?.some((tag) => tags.includes(tag)) === true) return true;
  const { tables } = forgotten;
  if (tables === undefined) return false;
  // What may depend on more than is known depends on anything.
  if (dependencies.mayBeMore !== undefined && named.length === 0) return true;
  const isAmong = (table: string): boolean => named.some((name) => isSame(name, table));
  return tables.some(
    (table) => isAmong(table) || dependencies.relations.some(({ schema, name }) => isSame(`${schema}.${name}`, table)),
  );
}

/** Where one of them names no schema, it stands for all. */
function isSame(a: string, b: string): boolean {
  if (a.includes('.') === b.includes('.')) return a === b;
  return a.slice(a.lastIndexOf('.') + 1) === b.slice(b.lastIndexOf('.') + 1);
}
