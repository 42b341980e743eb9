/** Hears a source of changes, and holds what it tells against what was written. It writes nothing itself. */
import type { ChangeHandler, ChangeStart, TableChange } from '../change-source.js';
import { performance, setTimeout } from '../clock.js';

/** What is waited for may lie behind the header of a page that no record has followed yet. */
const NUDGE_MILLIS = 500;

type Told =
  | { readonly is: 'began'; readonly start: ChangeStart }
  | { readonly is: 'changed'; readonly changes: readonly TableChange[] | 'all'; readonly lsn: bigint }
  | { readonly is: 'reached'; readonly lsn: bigint }
  | { readonly is: 'broken'; readonly reason: string };

/** A commit of the check's own: its end lies behind `after`, and at or before `by`. */
export interface Commit {
  readonly after: bigint;
  readonly by: bigint;
  /** The keys of the rows that it changed; `undefined` where any row may have changed. */
  readonly keys: readonly string[] | undefined;
}

export class Ear implements ChangeHandler {
  readonly told: Told[] = [];
  /** What is wrong with what was told, whatever was written. */
  fault: string | undefined;
  readonly #table: string;
  readonly #patienceMillis: number;
  readonly #nudge: () => Promise<unknown>;
  #reached = -1n;
  #changedAt = -1n;

  /** @param nudge writes something to the log */
  constructor(table: string, patienceMillis: number, nudge: () => Promise<unknown>) {
    this.#nudge = nudge;
    this.#table = table;
    this.#patienceMillis = patienceMillis;
  }

  began(start: ChangeStart): void {
    if (this.told.some(({ is }) => is === 'began')) this.fault ??= 'it begins anew';
    else this.told.splice(0);
    this.told.push({ is: 'began', start });
    this.#reached = start.lsn;
    this.#changedAt = start.lsn;
  }

  changed(changes: readonly TableChange[] | 'all', lsn: bigint): void {
    if (!this.told.some(({ is }) => is === 'began')) this.fault ??= 'it tells changes before it has begun';
    if (lsn <= this.#reached) this.fault ??= 'it tells of a commit at or before a position that it had reached';
    if (lsn < this.#changedAt) this.fault ??= 'it tells commits in another order than that of the log';
    this.#changedAt = lsn;
    if (changes !== 'all')
      for (const { keyColumns, keys } of changes)
        if (keys?.some((key) => key.length !== keyColumns?.length))
          this.fault ??= 'a key has another number of values than there are key columns';
    this.told.push({ is: 'changed', changes, lsn });
  }

  reached(lsn: bigint): void {
    if (lsn < this.#reached) this.fault ??= 'it goes back behind a position that it had reached';
    this.#reached = lsn;
    this.told.push({ is: 'reached', lsn });
  }

  broken(reason: string): void {
    this.told.push({ is: 'broken', reason });
  }

  async begins(): Promise<ChangeStart> {
    const start = (): ChangeStart | undefined => this.told.flatMap((one) => (one.is === 'began' ? [one.start] : []))[0];
    await this.#until('it does not begin', () => start() !== undefined, true);
    return start() as ChangeStart;
  }

  async reaches(lsn: bigint): Promise<void> {
    const isThere = (): boolean => this.told.some((one) => one.is === 'reached' && one.lsn >= lsn);
    await this.#until('it does not reach the end of a commit', isThere);
  }

  /** Waits until it has reached the commit; by then it must have told all of it. @param isAll whether only `'all'` will do */
  async hears({ after, by, keys }: Commit, isAll = false): Promise<void> {
    await this.reaches(by);
    const end = this.told.findIndex((one) => one.is === 'reached' && one.lsn >= by);
    const missing = new Set<string | undefined>(keys ?? [undefined]);
    let isEarly = false;
    for (const one of this.told.slice(0, end)) {
      if (one.is !== 'changed') continue;
      const found = [...missing].filter((key) => (isAll ? one.changes === 'all' : this.#covers(one.changes, key)));
      // A key may have been told for a commit before.
      if (one.lsn <= after) isEarly ||= found.length > 0;
      else for (const key of found) missing.delete(key);
    }
    if (missing.size === 0) return;
    const [key] = missing;
    const what = key === undefined ? 'any row' : `the key ${JSON.stringify(key)}`;
    const early = isEarly ? ' (it was told at a position before the end of the commit, or of an earlier one)' : '';
    throw new Error(`it says that it has reached a commit, and has not told that ${what} changed${early}`);
  }

  /** @param key `undefined`: any row */
  #covers(changes: readonly TableChange[] | 'all', key: string | undefined): boolean {
    if (changes === 'all') return true;
    return changes.some(({ table, keyColumns, keys }) => {
      if (table !== this.#table) return false;
      if (keys === undefined || keyColumns === undefined) return true;
      return (
        key !== undefined && keyColumns.length === 1 && keyColumns[0] === 'id' && keys.some(([one]) => one === key)
      );
    });
  }

  async #until(otherwise: string, holds: () => boolean, isBeginning = false): Promise<void> {
    const endsAt = performance.now() + this.#patienceMillis;
    let nudgeAt = performance.now() + NUDGE_MILLIS;
    for (;;) {
      if (this.fault !== undefined) throw new Error(this.fault);
      const broken = this.told.find((one) => one.is === 'broken');
      // It may have to try several times to begin.
      if (broken?.is === 'broken' && !isBeginning) throw new Error(`it broke: ${broken.reason}`);
      if (holds()) return;
      if (performance.now() > endsAt) {
        const why = broken?.is === 'broken' ? `; it says: ${broken.reason}` : '';
        throw new Error(`${otherwise}, after ${this.#patienceMillis} ms${why}`);
      }
      if (performance.now() > nudgeAt) {
        nudgeAt = Number.POSITIVE_INFINITY;
        await this.#nudge();
      }
      await pause(5);
    }
  }

  /** What was told up to now is of no account. */
  forget(): void {
    this.told.splice(0);
  }
}

export function pause(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis);
  });
}
