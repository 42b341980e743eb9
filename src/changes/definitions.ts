/**
 * Whether definitions are what they were: tables, views, functions, policies and rights. It goes by
 * stamps that are read of a replica's catalogue, and by what a source tells of definitions. Where a
 * definition may have changed, nothing that was read before stays current, and what texts depend on
 * is found out again. It asks nobody.
 */
import { performance } from '../clock.js';
import type { Lsn } from '../freshness/lsn.js';
import type { ChangeLedger } from './ledger.js';

/** What a look at a replica's catalogue has shown. */
export interface DefinitionLook {
  /** What the replica had replayed before the look, and after it. */
  readonly before: Lsn;
  readonly after: Lsn;
  /** Stamps what event triggers do not see: roles, memberships, settings of roles. */
  readonly shared: string;
  /** Stamps everything else; `undefined` where that was not looked at. */
  readonly own: string | undefined;
}

/** The catalogue that texts are judged by. */
export interface JudgingCatalog {
  readonly stamp: string | undefined;
  reloadWhole(now: number): void;
}

export class Definitions {
  readonly #ledger: ChangeLedger;
  readonly #catalog: JudgingCatalog;
  #shared: string | undefined;
  #own: string | undefined;
  /** A change that was told: what a look has shown before says nothing of it. */
  #told: Lsn = 0n;

  constructor(ledger: ChangeLedger, catalog: JudgingCatalog) {
    this.#ledger = ledger;
    this.#catalog = catalog;
  }

  /** Whether the next look has to show everything. */
  get needsWhole(): boolean {
    return this.#own === undefined || this.#ledger.start?.tellsDefinitions !== true;
  }

  looked({ before, after, shared, own }: DefinitionLook): void {
    if (own === undefined && this.needsWhole) return;
    const isOther = shared !== this.#shared || (own !== undefined && own !== this.#own);
    // A change that the look has shown lies at or before its end.
    if (isOther) this.#ledger.definitionChanged(after);
    this.#shared = shared;
    // Of what was told later it may be the state before.
    if (own !== undefined) this.#own = before < this.#told ? undefined : own;
    this.#ledger.definitionsHeld(before, this.#own);
    if (this.#own !== undefined && this.#own !== this.#catalog.stamp) this.#catalog.reloadWhole(performance.now());
  }

  /** A source has told that a definition changed there. */
  changed(lsn: Lsn): void {
    this.#told = lsn;
    this.#own = undefined;
    this.#ledger.definitionChanged(lsn);
    this.#ledger.definitionsHeld(undefined, undefined);
    this.#catalog.reloadWhole(performance.now());
  }

  /** No replica can be looked at, or the log has another timeline: from here on nothing is known. */
  lost(): void {
    this.#shared = undefined;
    this.#own = undefined;
    this.#told = 0n;
    this.#ledger.definitionsHeld(undefined, undefined);
  }
}
