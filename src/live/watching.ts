/**
 * One watcher: which state it has taken, and when it is over. It keeps no queue: whoever is slow
 * takes the latest state, and holds up nobody.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { markRoute } from '../execute/route.js';
import { formatLsn } from '../freshness/lsn.js';
import type { Position } from '../freshness/position.js';
import type { WatchSettings } from '../options/watch.js';
import { logsOnly } from '../redaction.js';
import { diffOf } from './diff.js';
import type { LiveQuery, Watcher } from './live-query.js';
import type { LiveState } from './live-state.js';
import type { StateId } from './state-id.js';
import type { Subject } from './subject.js';
import type { RowChanges, Watch, WatchedState } from './watch.js';

/** What a watcher begins with. */
export interface Begun {
  readonly query: LiveQuery;
  /** How it wants its rows, which may differ among those who share a query. */
  readonly manner: Pick<Subject, 'rowMode' | 'types'>;
  /** What its first state must show; `undefined` for nothing. */
  readonly floor: Position | undefined;
  readonly since: StateId | undefined;
  /** Our monotonic clock when it joined. */
  readonly joinedAt: number;
}

/** What it needs of its cluster. */
export interface WatchTools {
  /** Joins its query. @throws for what cannot be watched */
  begin(watcher: Watcher): Promise<Begun>;
  /** The position that a token stands for; `undefined` for none that counts here. */
  positionOf(token: string): Position | undefined;
  /** Whether the state shows what that one did, as far as changes tell; `undefined` where they do not. */
  isUnchanged(since: StateId, state: LiveState): boolean | undefined;
  /** The reader has it: its session has seen that. */
  taken(state: LiveState): void;
  /** It is over. */
  ended(watch: object): void;
}

export class Watching<Row extends QueryResultRow> implements Watch<Row>, Watcher {
  readonly #settings: WatchSettings;
  readonly #tools: WatchTools;
  #begun: Begun | undefined;
  #beginning: Promise<void> | undefined;
  /** The last state that was taken. */
  #taken: LiveState | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isOver = false;
  #error: { readonly reason: unknown } | undefined;
  #awake = (): void => undefined;
  readonly #end = (): void => this.end();

  static {
    logsOnly(Watching.prototype, 'Watch', (watch) => ({ isOver: watch.#isOver }));
  }

  constructor(settings: WatchSettings, tools: WatchTools) {
    this.#settings = settings;
    this.#tools = tools;
    const { signal } = settings;
    if (signal?.aborted === true) this.end();
    else signal?.addEventListener('abort', this.#end, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<WatchedState<Row>, undefined>> {
    const next = this.#turn.then(() => this.#next());
    this.#turn = next.catch(() => undefined);
    return next;
  }

  return(): Promise<IteratorResult<WatchedState<Row>, undefined>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
  }

  includes(token: string): boolean {
    const position = this.#tools.positionOf(token);
    if (position === undefined || this.#taken === undefined) return false;
    const latest = this.#begun?.query.state;
    // One of the same content, and known to show more.
    const state = latest?.serial === this.#taken.serial ? latest : this.#taken;
    return state.shows(position);
  }

  notify(): void {
    this.#awake();
  }

  failed(error: unknown): void {
    // Whoever has a state waits for the next one: the query is tried again.
    if (this.#taken !== undefined) return;
    this.#error = { reason: error };
    this.end();
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#settings.signal?.removeEventListener('abort', this.#end);
    this.#begun?.query.leave(this);
    this.#tools.ended(this);
    this.#awake();
  }

  async #next(): Promise<IteratorResult<WatchedState<Row>, undefined>> {
    if (!this.#isOver) {
      this.#beginning ??= this.#begin();
      await this.#beginning;
    }
    for (;;) {
      const state = this.#isOver ? undefined : this.#newState();
      if (state !== undefined) return { done: false, value: this.#take(state) };
      if (this.#begun?.query.isOver === true) this.end();
      if (this.#isOver) {
        const error = this.#error;
        this.#error = undefined;
        if (error !== undefined) throw error.reason;
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => {
        this.#awake = resolve;
      });
    }
  }

  async #begin(): Promise<void> {
    try {
      const begun = await this.#tools.begin(this);
      this.#begun = begun;
      if (this.#isOver) begun.query.leave(this);
    } catch (error) {
      if (!this.#isOver) this.#error = { reason: error };
      this.end();
    }
  }

  #newState(): LiveState | undefined {
    const begun = this.#begun;
    const state = begun?.query.state;
    if (begun === undefined || state === undefined || state.serial === this.#taken?.serial) return undefined;
    if (this.#taken !== undefined || begun.floor === undefined) return state;
    // One that was asked for since was run for its floor, too.
    return state.reading.askedAt >= begun.joinedAt || state.shows(begun.floor) ? state : undefined;
  }

  #take(state: LiveState): WatchedState<Row> {
    const before = this.#taken;
    const { since, manner } = this.#begun as Begun;
    const { rowMode, types } = manner;
    const { answer, record } = state.reading;
    try {
      const result = answer.give(rowMode, types) as QueryResult<Row>;
      markRoute(result, record);
      const { place, id } = state;
      const taken = {
        rows: result.rows,
        result,
        position: place === undefined ? undefined : `${place.timeline}/${formatLsn(place.lsn)}`,
        id,
        missed: before === undefined && since !== undefined ? this.#missed(since, state) : undefined,
        changes: this.#changesTo(result, state),
      };
      this.#taken = state;
      this.#tools.taken(state);
      return taken;
    } catch (error) {
      // What a parser throws it throws again.
      this.end();
      throw error;
    }
  }

  #missed(since: StateId, state: LiveState): boolean {
    if (since.digest === state.reading.digest) return false;
    return this.#tools.isUnchanged(since, state) !== true;
  }

  #changesTo({ rows }: QueryResult<Row>, { reading: { answer } }: LiveState): RowChanges<Row> | undefined {
    const { diff } = this.#settings;
    if (diff === undefined) return undefined;
    const before = this.#taken?.reading.answer;
    const { added, changed, removed } = diffOf(before, answer, diff);
    const { rowMode, types } = (this.#begun as Begun).manner;
    const old = removed.length === 0 || before === undefined ? [] : (before.give(rowMode, types).rows as Row[]);
    return { added: pick(rows, added), changed: pick(rows, changed), removed: pick(old, removed) };
  }
}

function pick<Row>(rows: readonly Row[], places: readonly number[]): readonly Row[] {
  return places.map((at) => rows[at] as Row);
}
