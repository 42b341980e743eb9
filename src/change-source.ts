/**
 * What tells which tables change, and up to which position it has told all: PostgreSQL's own log,
 * triggers that notify, another process, or a source of the application's own. It judges nothing:
 * what a change means for kept answers, the ledger of changes decides.
 */

/** A place in the primary's log. */
export interface ChangePosition {
  /** 1 to 2^32 − 1. */
  readonly timeline: number;
  /** 0 to 2^64 − 1. */
  readonly lsn: bigint;
}

/** What has changed in one table. */
export interface TableChange {
  /**
   * As `schema.name`, without quotes. A row of a partition, or of a table that inherits, is a
   * change of each table above it, too: the source tells one change for each.
   */
  readonly table: string;
  /**
   * The columns by which the source tells rows apart, such as those of the primary key; `undefined`
   * where any row may have changed, as after TRUNCATE.
   */
  readonly keyColumns?: readonly string[] | undefined;
  /**
   * The rows that have changed: for each the values of `keyColumns`, in their order, as PostgreSQL
   * writes them in text. A row whose key has changed counts under both keys. `undefined`: any row.
   */
  readonly keys?: readonly (readonly string[])[] | undefined;
}

/** Where a source begins, and what it will tell. */
export interface ChangeStart extends ChangePosition {
  /** The tables of which it tells every change, as `schema.name`: of others nothing is known. */
  readonly tables: readonly string[];
  /**
   * Whether it tells of definitions as well: of tables, functions, policies and rights that change,
   * by `changed('all', …)`. Where not, pg-ladder looks at the catalogue.
   */
  readonly tellsDefinitions: boolean;
}

/** Hears a source. Its methods return at once, and never throw. */
export interface ChangeHandler {
  /**
   * The source begins, or begins anew after a gap: from now on it tells every commit whose end lies
   * beyond that position.
   */
  began(start: ChangeStart): void;
  /**
   * A commit has changed these. Commits are told in the order of the log.
   * @param changes `'all'`: anything may have changed, of whatever table
   * @param lsn the end of the commit, or a position beyond it
   */
  changed(changes: readonly TableChange[] | 'all', lsn: bigint): void;
  /** All commits that end at or before that position have been told. */
  reached(lsn: bigint): void;
  /**
   * Something may have been missed, or will be: nothing counts as known until it begins anew.
   * @param reason in words, without values or addresses
   */
  broken(reason: string): void;
}

export interface ChangeSubscription {
  /**
   * Why nothing further is reached for now although there is more, in words, without values or
   * addresses; `undefined` where nothing holds it back. It costs nothing, and never throws.
   */
  heldBack?(): string | undefined;
  /** Tells nothing more, and leaves nothing behind. */
  close(): Promise<void>;
}

/** Tells changes to those that listen. */
export interface ChangeSource {
  /**
   * Begins to tell, and goes on trying until the subscription is closed: it never gives up by
   * itself, and never throws.
   */
  subscribe(handler: ChangeHandler): ChangeSubscription;
  /**
   * The catalogue has changed: a source that keeps what it knows of tables finds that out anew, and
   * reaches nothing further until then. Resolves when that is done.
   */
  definitionsChanged?(): Promise<void>;
}
