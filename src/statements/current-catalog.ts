/**
 * The catalogue that texts are judged by: read when it is first needed, and again when it is old,
 * or when a definition may have changed it. It reads in the background and never rejects. It says
 * which texts mean something else since, and judges none of them.
 */
import { performance } from '../clock.js';
import { Catalog } from '../sql/catalog.js';
import { type CatalogRows, CatalogTooLargeError, type KnownFunctions } from '../sql/catalog-rows.js';
import { EVERYTHING, mentions, type Touched, touchedBy } from '../sql/definition.js';
import type { Grammar } from '../sql/grammar.js';

/**
 * Reads the catalogue of the primary, without the functions where they are known. Rejects when it
 * cannot be had now.
 */
export type LoadCatalog = (known: KnownFunctions | undefined) => Promise<CatalogRows>;

export interface CatalogOptions {
  readonly load: LoadCatalog;
  readonly readOnlyFunctions: readonly string[];
  readonly catalogRefreshMillis: number;
}

/** Between two loads, however many names are unknown, and however often loading fails. */
const RELOAD_SPACING_MILLIS = 1_000;

export class CurrentCatalog {
  readonly #options: CatalogOptions;
  readonly #grammar: Grammar;
  /** Called when a new catalogue is in place. */
  readonly #renewed: () => void;
  #isReadable = false;
  #catalog: Catalog | undefined;
  #generation = 0;
  /** What it was made of. */
  #rows: CatalogRows | undefined;
  /**
   * Names that may mean something else than it says: texts that do not mention them are what they
   * were.
   */
  readonly #touched = new Set<string>();
  /** Functions to read with the next load; `undefined` for all. */
  #changed: Set<string> | undefined;
  /** When it was read as a whole. */
  #loadedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;
  #isOutdated = false;

  constructor(options: CatalogOptions, grammar: Grammar, renewed: () => void) {
    this.#options = options;
    this.#grammar = grammar;
    this.#renewed = renewed;
  }

  /** The grammar has been loaded: from now on the catalogue can be read. */
  allow(): void {
    this.#isReadable = true;
  }

  /** `undefined` while it is not known. */
  get catalog(): Catalog | undefined {
    return this.#catalog;
  }

  /** See {@link Catalog.familyOf}; the name itself while the catalogue is not known. */
  familyOf(name: string): string {
    return this.#catalog?.familyOf(name) ?? name;
  }

  /** Names the state of definitions that it was read in; `undefined` where that is not known. */
  get stamp(): string | undefined {
    return this.isTouched || this.#catalog === undefined ? undefined : this.#rows?.stamp;
  }

  /** Another number when what was found out by it before counts no more. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether definitions have passed that it does not know yet. */
  get isTouched(): boolean {
    return this.#touched.size > 0;
  }

  /** Whether a text may mean something else than the catalogue says. */
  mayHaveChanged(text: string): boolean {
    return mentions(text, this.#touched);
  }

  /** The catalogue for one text; `undefined` where it does not know what the text means now. */
  for(text: string): Catalog | undefined {
    return this.mayHaveChanged(text) ? undefined : this.#catalog;
  }

  isOld(now: number): boolean {
    return now - this.#loadedAt > this.#options.catalogRefreshMillis;
  }

  /** Resolves when no load is under way. */
  async settled(): Promise<void> {
    // A definition that has passed through meanwhile has it read once more.
    while (this.#loading !== undefined) await this.#loading;
  }

  /** A definition has passed. @param text `undefined` where it is not known */
  changed(text: string | undefined): void {
    const { names, functions } = text === undefined ? EVERYTHING : this.#touchedBy(text);
    if (names === undefined) {
      this.#catalog = undefined;
      this.#generation++;
    } else for (const name of names) this.#touched.add(name);
    if (functions === undefined) this.#changed = undefined;
    else for (const name of functions) this.#changed?.add(name);
    this.#isOutdated = this.#loading !== undefined;
    this.#triedAt = Number.NEGATIVE_INFINITY;
    this.reload(performance.now());
  }

  #touchedBy(text: string): Touched {
    if (this.#rows === undefined) return EVERYTHING;
    try {
      return touchedBy(this.#grammar.parse(text), this.#rows);
    } catch {
      return EVERYTHING;
    }
  }

  /** As {@link reload}, with all functions. */
  reloadWhole(now: number): void {
    this.#changed = undefined;
    this.reload(now);
  }

  /**
   * Reads it anew, unless that is under way or was tried a moment ago. The grammar must have been
   * loaded.
   */
  reload(now: number): void {
    if (!this.#isReadable || this.#loading !== undefined || now - this.#triedAt < RELOAD_SPACING_MILLIS) return;
    this.#triedAt = now;
    const changed = this.#rows === undefined ? undefined : this.#changed;
    const known = changed === undefined || this.#rows === undefined ? undefined : { rows: this.#rows, changed };
    // What changes from now on is read the next time.
    this.#changed = new Set();
    this.#loading = this.#options
      .load(known)
      .then(
        (rows) => {
          if (this.#isOutdated) this.#stillDue(changed);
          else this.#replace(rows, known === undefined ? now : this.#loadedAt);
        },
        (error: unknown) => {
          this.#stillDue(changed);
          // It will hardly have shrunk in a second.
          if (error instanceof CatalogTooLargeError)
            this.#triedAt = performance.now() + this.#options.catalogRefreshMillis - RELOAD_SPACING_MILLIS;
        },
      )
      .finally(() => {
        this.#loading = undefined;
        if (!this.#isOutdated) return;
        this.#isOutdated = false;
        this.#triedAt = Number.NEGATIVE_INFINITY;
        this.reload(performance.now());
      });
  }

  #replace(rows: CatalogRows, loadedAt: number): void {
    this.#catalog = new Catalog(rows, this.#grammar, this.#options.readOnlyFunctions);
    this.#rows = rows;
    this.#touched.clear();
    this.#loadedAt = loadedAt;
    this.#generation++;
    this.#renewed();
  }

  /** What was read in vain is read again. */
  #stillDue(changed: ReadonlySet<string> | undefined): void {
    if (changed === undefined) this.#changed = undefined;
    else for (const name of changed) this.#changed?.add(name);
  }
}
