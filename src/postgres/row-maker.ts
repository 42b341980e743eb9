/**
 * Makes pg's rows of fields as they travelled, by a function of those very columns: pg looks each
 * name and parser up for each row. Where code must not be made at run time it makes none, and then
 * pg's own way is gone. It parses nothing by itself.
 */

type MakeRow = (raw: readonly unknown[]) => unknown;

/** To make a function costs as much as some hundred rows gain: answers that do not come again need none. */
const USES_BEFORE = 4;
/** V8 does not optimise functions without end. */
const MAX_COLUMNS = 200;

export class RowMaker {
  readonly #names: readonly string[];
  readonly #parsers: readonly unknown[];
  #useCount = 0;
  #make: MakeRow | undefined;

  constructor(names: readonly string[], parsers: readonly unknown[]) {
    this.#names = names;
    this.#parsers = parsers;
  }

  /** An answer of these columns is to be given. @returns `undefined` where pg's own way is to be gone */
  use(): MakeRow | undefined {
    if (this.#make !== undefined) return this.#make;
    if (++this.#useCount === USES_BEFORE && this.#names.length <= MAX_COLUMNS) this.#make = this.#made();
    return this.#make;
  }

  #made(): MakeRow | undefined {
    const at = this.#names.map((_, i) => i);
    // Computed names: `__proto__` is a column like any other. Of two of one name the last one counts, as with pg.
    const fields = this.#names.map((name, i) => `[${JSON.stringify(name)}]: r[${i}] === null ? null : p${i}(r[${i}])`);
    const body = `const [${at.map((i) => `p${i}`).join(', ')}] = parsers; return (r) => ({ ${fields.join(', ')} });`;
    try {
      // Its text is names as JSON, and numbers.
      // oxlint-disable-next-line typescript/no-implied-eval
      return (new Function('parsers', body) as (parsers: readonly unknown[]) => MakeRow)(this.#parsers);
    } catch {
      // As with --disallow-code-generation-from-strings.
      return undefined;
    }
  }
}
