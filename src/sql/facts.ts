/**
 * What the text of a statement says by itself: its kind, and all functions, relations, operators
 * and types that it names. What these do only the catalogue knows. Types only, see `walk.ts`.
 */
import type { Operand, Operation } from './operands.js';
import type { Effect } from './session-state.js';
import type { Name } from './tree.js';

/**
 * What a statement does, as far as can be proved:
 * - `read`: it only reads, so a replica can run it.
 * - `write`: it may write, or it is not known that it does not.
 * - `session`: it changes its connection, such as `SET`, so it means nothing on a pool; it goes to
 *   the primary.
 */
export type StatementClass = 'read' | 'write' | 'session';

/** A transaction that says READ ONLY, one that says neither, or one that a standby would refuse. */
export type Beginning = 'read-only' | 'plain' | 'primary-only';

export interface Call extends Name {
  /** `undefined` where that is not known. */
  readonly argCount: number | undefined;
  /** `undefined` where their order is not known. */
  readonly operands: readonly Operand[] | undefined;
}

/** What is taken out of something by name: a column, or a function of the row. */
export interface Field {
  readonly name: string;
  /** The table or the subquery; `undefined` where it is any other expression. */
  readonly of: string | undefined;
  /** Whether what it is taken out of may be of any type. */
  readonly isOfAny: boolean;
}

/** A relation with the name that its columns may be qualified by. */
export interface Table extends Name {
  readonly alias: string;
}

export interface Facts {
  readonly class: StatementClass;
  /** The node of the tree that decided; for a read that nothing stood against it. */
  readonly because: string;
  readonly statementCount: number;
  /** Whether it changes what the catalogue says. */
  readonly isDefinition: boolean;
  /**
   * Whether its connection does not matter to it: one query that asks for nothing that belongs to a
   * session.
   */
  readonly isDetached: boolean;
  /** Whether it reads something of the connection that it runs on. */
  readonly isAttached: boolean;
  /** Whether it leaves something on its connection that later reads may go by. */
  readonly leavesState: boolean;
  /** What it leaves there, or takes back. */
  readonly effects: readonly Effect[];
  /**
   * Whether it is one statement that begins, ends or marks a transaction, and does nothing by
   * itself.
   */
  readonly isTransactionControl: boolean;
  /** What kind of transaction it begins; `undefined` for any other statement. */
  readonly begins: Beginning | undefined;
  readonly calls: readonly Call[];
  readonly fields: readonly Field[];
  /** Every word by which a column may be meant. */
  readonly columns: ReadonlySet<string>;
  /** Whether columns are compared that are not named: of `*`, under DISTINCT, UNION or NATURAL. */
  readonly comparesUnnamed: boolean;
  readonly relations: readonly Table[];
  /** Operators with what they are applied to. */
  readonly operators: readonly Operation[];
  readonly types: readonly Name[];
  /**
   * Whether every column that it names belongs to a relation, and none to a subquery or a function.
   */
  readonly isFlat: boolean;
  /** Whether columns are given other names. */
  readonly renames: boolean;
  /** Subqueries, functions and the like in FROM, with their columns where these are known. */
  readonly derived: ReadonlyMap<string, ReadonlySet<string> | undefined>;
  /** Names that may stand for whole rows. */
  readonly rows: ReadonlySet<string>;
  /**
   * What makes its answer depend on more than its tables, as far as no function does: see
   * `unsteady.ts`.
   */
  readonly unsteady: ReadonlySet<string>;
  /** Whether anything in it may be a row of no declared type. */
  readonly hasRecords: boolean;
}
