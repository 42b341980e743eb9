/**
 * What the process that reads the log has to tell the others, gathered into messages. It bounds
 * their size: a commit of too many keys counts for whole tables. It sends nothing.
 */
import { MAX_RELAY_MESSAGE_LENGTH } from '../change-relay.js';
import type { ChangeStart, TableChange } from '../change-source.js';
import type { Lsn } from '../freshness/lsn.js';
import { encodeRelayMessage, type RelayEpoch, type RelayedScope, type RelayMessage } from './relay-message.js';

/** A commit that changes more keys of a table, or longer ones, counts for the whole table. */
const MAX_KEYS_PER_COMMIT = 1_000;
const MAX_KEY_LENGTH_PER_COMMIT = 2 ** 16;
/** In characters: with more than that, a message is sent at once. */
const FULL_LENGTH = 2 ** 18;
/** A change in a message, beside its names and keys. */
const OVERHEAD_LENGTH = 16;

/** How much of one table a commit has changed. */
interface Extent {
  keyCount: number;
  keyLength: number;
  isWhole: boolean;
}

interface Gathered {
  readonly lsn: Lsn;
  changes: TableChange[] | 'all';
}

export class RelayWriter {
  readonly epoch: RelayEpoch;
  readonly #scope: RelayedScope;
  #number = 0;
  /** The furthest position that any message has told of. */
  #told: Lsn;
  #reached: Lsn;
  /** Whether there is more to tell than the last message has told. */
  #hasNews = false;
  #commits: Gathered[] = [];
  #length = 0;
  /** The commit that was told last: it may go on. */
  #last: { readonly lsn: Lsn; readonly extents: Map<string, Extent> };

  constructor({ timeline, lsn, tables, tellsDefinitions }: ChangeStart, id: string) {
    this.epoch = { timeline, start: lsn, id };
    this.#scope = { tables, tellsDefinitions };
    this.#told = lsn;
    this.#reached = lsn;
    this.#last = { lsn, extents: new Map() };
  }

  get hasNews(): boolean {
    return this.#hasNews;
  }

  /** Whether no more should be gathered before it is sent. */
  get isFull(): boolean {
    return this.#length > FULL_LENGTH;
  }

  changed(changes: readonly TableChange[] | 'all', lsn: Lsn): void {
    if (lsn !== this.#last.lsn) this.#last = { lsn, extents: new Map() };
    const commit = this.#commitAt(lsn);
    this.#hasNews = true;
    if (changes === 'all') commit.changes = 'all';
    if (changes === 'all' || commit.changes === 'all') return;
    for (const change of changes) this.#add(commit.changes, change);
  }

  reached(lsn: Lsn): void {
    if (lsn <= this.#reached) return;
    this.#reached = lsn;
    this.#hasNews = true;
  }

  /**
   * The next message, with all that was gathered.
   * @param isComplete whether those who hear it first may begin with it
   */
  take(stream: string, isComplete: boolean, end?: RelayMessage['end']): string {
    const commits = this.#commits.filter(({ changes }) => changes === 'all' || changes.length > 0);
    const from = this.#told;
    for (const { lsn } of [...commits, { lsn: this.#reached }]) if (lsn > this.#told) this.#told = lsn;
    this.#commits = [];
    this.#length = 0;
    this.#hasNews = false;
    const message: RelayMessage = {
      stream,
      epoch: this.epoch,
      number: this.#number++,
      from,
      to: this.#reached,
      commits,
      scope: isComplete ? this.#scope : undefined,
      end,
    };
    const text = encodeRelayMessage(message);
    if (text.length <= MAX_RELAY_MESSAGE_LENGTH) return text;
    return encodeRelayMessage({ ...message, commits: [{ lsn: this.#told, changes: 'all' }] });
  }

  #commitAt(lsn: Lsn): Gathered {
    const last = this.#commits.at(-1);
    if (last?.lsn === lsn) return last;
    const commit: Gathered = { lsn, changes: [] };
    this.#commits.push(commit);
    this.#length += OVERHEAD_LENGTH;
    return commit;
  }

  #add(changes: TableChange[], { table, keyColumns, keys }: TableChange): void {
    const { extents } = this.#last;
    let extent = extents.get(table);
    if (extent === undefined) {
      extent = { keyCount: 0, keyLength: 0, isWhole: false };
      extents.set(table, extent);
    }
    if (extent.isWhole) return;
    let length = table.length + OVERHEAD_LENGTH;
    if (keyColumns !== undefined && keys !== undefined) {
      extent.keyCount += keys.length;
      if (extent.keyCount <= MAX_KEYS_PER_COMMIT) extent.keyLength += lengthOf(keys);
      for (const column of keyColumns) length += column.length + OVERHEAD_LENGTH;
    }
    extent.isWhole =
      keyColumns === undefined ||
      keys === undefined ||
      extent.keyCount > MAX_KEYS_PER_COMMIT ||
      extent.keyLength > MAX_KEY_LENGTH_PER_COMMIT;
    if (!extent.isWhole && keys !== undefined) length += lengthOf(keys);
    changes.push(extent.isWhole ? { table } : { table, keyColumns, keys });
    this.#length += length;
  }
}

function lengthOf(keys: readonly (readonly string[])[]): number {
  let length = 0;
  for (const key of keys) for (const value of key) length += value.length + OVERHEAD_LENGTH;
  return length;
}
