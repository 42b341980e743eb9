/** What is different between two answers of one query, row by row, told apart by key columns. Pure. */
import type { KeptAnswer } from '../cache/kept-answer.js';
import type { RawRow } from '../cache/raw-answer.js';
import { invalidOptions } from '../errors.js';

/** By index into the rows of the answers. */
export interface RowDiff {
  readonly added: readonly number[];
  /** Of the later answer. */
  readonly changed: readonly number[];
  /** Of the earlier answer. */
  readonly removed: readonly number[];
}

/**
 * @param before `undefined`: there was none, and all rows are added
 * @throws LadderError `LADDER_INVALID_OPTIONS` where the answer has no such column
 */
export function diffOf(before: KeptAnswer | undefined, after: KeptAnswer, key: readonly string[]): RowDiff {
  const old = before === undefined ? new Map<string, number>() : keyed(before, key);
  const now = keyed(after, key);
  const added: number[] = [];
  const changed: number[] = [];
  for (const [text, at] of now) {
    const was = old.get(text);
    if (was === undefined) added.push(at);
    else if (!areSame(before?.rows[was], after.rows[at])) changed.push(at);
    old.delete(text);
  }
  return { added, changed, removed: [...old.values()] };
}

/** Rows by their key. Those that share one are told apart by their order. */
function keyed({ columns, rows }: KeptAnswer, key: readonly string[]): Map<string, number> {
  const places = key.map((name) => {
    const at = columns.fields.findIndex((field) => field.name === name);
    if (at < 0) throw invalidOptions('watch: diff: expected names of columns that the statement gives');
    return at;
  });
  const byKey = new Map<string, number>();
  const counts = new Map<string, number>();
  rows.forEach((row, at) => {
    const text = JSON.stringify(places.map((place) => row[place]));
    const count = counts.get(text) ?? 0;
    counts.set(text, count + 1);
    byKey.set(`${count}:${text}`, at);
  });
  return byKey;
}

function areSame(a: RawRow | undefined, b: RawRow | undefined): boolean {
  return a?.length === b?.length && a?.every((value, at) => value === b?.[at]) === true;
}
