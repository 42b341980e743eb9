/**
 * What one transaction has changed, as the log tells it: the keys of each table, up to a bound.
 * Nothing of it is kept when the transaction is over.
 */
import type { TableChange } from '../change-source.js';
import type { AnnouncedRelation, KeyPositions } from './pgoutput.js';
import type { Publication } from './publication.js';

/** Beyond so many rows of one table in one transaction, any row counts as changed. */
const MOST_KEYS = 10_000;

/** Types of which equal values have one text each: int8, int2, int4, uuid. */
const PLAIN_TYPES: ReadonlySet<number> = new Set([20, 21, 23, 2950]);
/** `text` and `varchar`, unless their collation takes different texts for equal. */
const TEXT_TYPES: ReadonlySet<number> = new Set([25, 1043]);

/** Where rows of a relation have their key. */
interface KeyLayout {
  readonly positions: readonly number[];
  readonly columns: readonly string[];
}

/** The relations that one stream has announced. */
export class AnnouncedRelations {
  readonly #announced = new Map<number, AnnouncedRelation>();
  readonly #layouts = new Map<number, KeyLayout | undefined>();
  #publication: Publication;

  constructor(publication: Publication) {
    this.#publication = publication;
  }

  get publication(): Publication {
    return this.#publication;
  }

  /** From now on this is known of tables. */
  adopt(publication: Publication): void {
    this.#publication = publication;
    for (const relation of this.#announced.values()) this.#layouts.set(relation.oid, this.#layoutOf(relation));
  }

  /** @returns whether it was announced before, or nothing is known of it: its definition may be another one */
  announce(relation: AnnouncedRelation): boolean {
    const { oid } = relation;
    const isNews = this.#announced.has(oid) || this.#publication.affectedBy(oid) === undefined;
    this.#announced.set(oid, relation);
    this.#layouts.set(oid, this.#layoutOf(relation));
    return isNews;
  }

  layoutOf(oid: number): KeyLayout | undefined {
    return this.#layouts.get(oid);
  }

  #layoutOf({ oid, identity, columns }: AnnouncedRelation): KeyLayout | undefined {
    if (identity === 'full' || identity === 'nothing') return undefined;
    const positions = columns.flatMap(({ isKey }, position) => (isKey ? [position] : []));
    const keys = columns.filter(({ isKey }) => isKey);
    const areTold = keys.every(
      ({ name, type }) => PLAIN_TYPES.has(type) || (TEXT_TYPES.has(type) && !this.#publication.isUnequal(oid, name)),
    );
    return keys.length > 0 && areTold ? { positions, columns: keys.map(({ name }) => name) } : undefined;
  }
}

interface RowChanges {
  readonly columns: readonly string[];
  readonly keys: Map<string, readonly string[]>;
}

export class TransactionChanges {
  readonly xid: number;
  /** Whether it may have changed anything. */
  isOfAll = false;
  /** Whether what is known of tables may not hold any more. */
  isOfDefinitions = false;
  readonly #relations: AnnouncedRelations;
  /** By table; `undefined`: any row. */
  readonly #rows = new Map<number, RowChanges | undefined>();

  constructor(xid: number, relations: AnnouncedRelations) {
    this.xid = xid;
    this.#relations = relations;
  }

  /** Where the key of a row is to be read; `undefined` where that would add nothing. */
  readonly keyOf = (oid: number): KeyPositions => {
    if (this.#rows.get(oid) === undefined && this.#rows.has(oid)) return undefined;
    return this.#relations.layoutOf(oid)?.positions;
  };

  row(oid: number, keys: readonly (readonly string[])[] | undefined): void {
    const columns = this.#relations.layoutOf(oid)?.columns;
    if (keys === undefined || columns === undefined) {
      this.whole(oid);
      return;
    }
    let rows = this.#rows.get(oid);
    if (rows === undefined) {
      if (this.#rows.has(oid)) return;
      rows = { columns, keys: new Map() };
      this.#rows.set(oid, rows);
    }
    for (const key of keys) rows.keys.set(key.length === 1 ? (key[0] ?? '') : JSON.stringify(key), key);
    // Rows were told apart by other columns before.
    if (rows.columns !== columns || rows.keys.size > MOST_KEYS) this.whole(oid);
  }

  whole(oid: number): void {
    this.#rows.set(oid, undefined);
  }

  /** `undefined`: nothing that is told. */
  told(): readonly TableChange[] | 'all' | undefined {
    if (this.isOfAll) return 'all';
    const changes: TableChange[] = [];
    for (const [oid, rows] of this.#rows) {
      const tables = this.#relations.publication.affectedBy(oid);
      if (tables === undefined) return 'all';
      const of = rows === undefined ? {} : { keyColumns: rows.columns, keys: [...rows.keys.values()] };
      for (const table of tables) changes.push({ table, ...of });
    }
    return changes.length === 0 ? undefined : changes;
  }
}
