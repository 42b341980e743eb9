/** What users have of a live query. */
import type { QueryResult, QueryResultRow } from 'pg';

/** What has changed from one state to the next that was given. */
export interface RowChanges<Row> {
  readonly added: readonly Row[];
  /** As they are now. */
  readonly changed: readonly Row[];
  /** As they were. */
  readonly removed: readonly Row[];
}

/** What a live query gave at one moment. Each watcher has rows of its own. */
export interface WatchedState<Row extends QueryResultRow> {
  readonly rows: Row[];
  /** The whole result, with the columns. `routeOf` says where it was read. */
  readonly result: QueryResult<Row>;
  /** It shows all commits up to there, as `timeline/LSN`; `undefined` for an answer of the primary. */
  readonly position: string | undefined;
  /**
   * Names this state for `since`, here and in other processes: where it was read, and a digest of
   * what it shows. At most 64 letters, digits, `-`, `_` and `.`, as in `Last-Event-ID`.
   */
  readonly id: string;
  /**
   * Of the first state, where `since` was given: whether it is another one than that. `undefined`
   * where `since` is no id of this query, and in all later states.
   */
  readonly missed: boolean | undefined;
  /** With `diff`: what is different from the state before; in the first one all rows are added. */
  readonly changes: RowChanges<Row> | undefined;
}

/** The states of a live query, from the present one on; see `cluster.watch`. */
export interface Watch<Row extends QueryResultRow> extends AsyncIterableIterator<WatchedState<Row>>, AsyncDisposable {
  /**
   * Whether the latest state that was taken shows all that a token stands for, such as that of a
   * session which has just written. What cannot be shown is `false`.
   */
  includes(token: string): boolean;
  /** Ends it. Leaving a `for await` loop does the same. */
  return(): Promise<IteratorResult<WatchedState<Row>, undefined>>;
}
