/** What the library reads of a server's catalogue, as rows. Built-in objects are not in them. */

export interface FunctionRow {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  readonly argCount: number;
  readonly defaultCount: number;
  readonly isVariadic: boolean;
  /** Of its arguments' types, as PostgreSQL prints them. */
  readonly signature: string;
  readonly volatility: 'i' | 's' | 'v';
  readonly language: string;
  /** In SQL and plpgsql what was written; of an internal one the name of the built-in behind it. */
  readonly body: string | null;
  readonly isOfExtension: boolean;
  /** Whether it has a search path of its own, so that the names in it mean what they mean there. */
  readonly hasOwnPath: boolean;
  /** Its default arguments, as a list. */
  readonly defaults: string | null;
  /** An aggregate's functions. */
  readonly parts: readonly string[] | null;
  /** Types of its arguments by oid, with blanks between them. */
  readonly takes: string;
  /** Types of its results, likewise. */
  readonly gives: string;
}

export interface RelationRow {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly persistence: string;
  /** A view's query. */
  readonly definition: string | null;
  /** Row security's conditions. */
  readonly policies: readonly string[] | null;
  /**
   * What may be applied to its columns without being asked for, by casts and comparisons: `column`,
   * a blank, and the function.
   */
  readonly hidden: readonly string[] | null;
  /** The type of its rows by oid. */
  readonly rowType: string;
  /** Each column: its type by oid, a blank, and its name. */
  readonly columns: readonly string[];
  /** Tables below it: partitions, and those that inherit from it. */
  readonly memberCount: number;
}

/** An operator with the function behind it. */
export interface OperatorRow {
  readonly schema: string;
  readonly name: string;
  readonly call: string;
  /** Types of its operands by oid, with a blank between them if there are two. */
  readonly takes: string;
}

/** A type with what runs when something is cast to it. */
export interface TypeRow {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /** Functions of casts to it. */
  readonly casts: readonly string[] | null;
  /** A domain's conditions. */
  readonly checks: readonly string[] | null;
  /** A domain's base type, as PostgreSQL prints it. */
  readonly base: string | null;
}

/** What the library reads of a catalogue, once. Built-in objects are not in it. */
export interface CatalogRows {
  readonly searchPath: readonly string[];
  readonly functions: readonly FunctionRow[];
  readonly relations: readonly RelationRow[];
  readonly operators: readonly OperatorRow[];
  readonly types: readonly TypeRow[];
  readonly resolution: ResolutionRow;
  /** Names the state of all definitions that it was read in; `undefined` where that is not known. */
  readonly stamp?: string | undefined;
}

/**
 * What PostgreSQL goes by when it chooses among namesakes: types by oid, with blanks between them.
 */
export interface ResolutionRow {
  /** Built-in operators that have namesakes: name and operands. */
  readonly operators: readonly string[];
  /** Built-in functions that have namesakes: name and arguments. */
  readonly functions: readonly string[];
  /** Built-in functions that give rows of no declared type. */
  readonly records: readonly string[];
  /** Two types, of which the first may turn into the second unasked. */
  readonly kin: readonly string[];
  /** Casts that are applied unasked: two types, and the function. */
  readonly casts: readonly string[];
}

/** What was read before, and the names of functions that may have changed since. */
export interface KnownFunctions {
  readonly rows: CatalogRows;
  readonly changed: ReadonlySet<string>;
}

/** A server has more of it than a process should hold. */
export class CatalogTooLargeError extends Error {
  constructor() {
    super('the catalogue is too large to be read');
  }
}
