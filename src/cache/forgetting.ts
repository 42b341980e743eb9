/** What is to be forgotten: by tables, by tags, or by statement. Pure. */
import type { Dependencies } from '../sql/dependencies.js';

/** Which kept answers are forgotten: all that fit any of these. */
export interface Forgotten {
  /**
   * Answers that depend on any of these, or on a table that shows the same rows, such as a partition or its parent:
   * `products` stands for that name in any schema.
   */
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

/** @param familyOf one name for all tables that show each other's rows, by a name without its schema */
export function isForgotten(
  { text, tags, named }: Forgettable,
  forgotten: Forgotten,
  familyOf: (name: string) => string,
): boolean {
  const { digest, dependencies } = text;
  if (forgotten.digest !== undefined && forgotten.digest === digest) return true;
  if (forgotten.tags?.some((tag) => tags.includes(tag)) === true) return true;
  const { tables } = forgotten;
  if (tables === undefined) return false;
  // What may depend on more than is known depends on anything.
  if (dependencies.mayBeMore !== undefined && named.length === 0) return true;
  const those = [...named, ...dependencies.relations.map(({ schema, name }) => `${schema}.${name}`)];
  const isKin = (a: string, b: string): boolean => a !== b && familyOf(a) === familyOf(b);
  return tables.some((table) => those.some((one) => isSame(one, table) || isKin(bare(one), bare(table))));
}

/** Where one of them names no schema, it stands for all. */
function isSame(a: string, b: string): boolean {
  if (a.includes('.') === b.includes('.')) return a === b;
  return bare(a) === bare(b);
}

function bare(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}
