/**
 * What a text is: remembered by its exact text, found out by the grammar and the catalogue, and corrected by what
 * replicas refuse. It loads both when it is first asked. While the catalogue is not known, whatever depends on it is a
 * write; while the grammar cannot be loaded, everything is. It never rejects for what it could not load.
 */

import { createHash } from 'node:crypto';
import { performance, setImmediate } from '../clock.js';
import { Catalog } from '../sql/catalog.js';
import { type CatalogRows, CatalogTooLargeError, type KnownFunctions } from '../sql/catalog-rows.js';
import { EVERYTHING, mentions, type Touched, touchedBy } from '../sql/definition.js';
import type { Beginning, Facts } from '../sql/facts.js';
import { Grammar, TooLongError } from '../sql/grammar.js';
import { type Hint, hintOf } from '../sql/hint.js';
import type { Judgement } from '../sql/judgement.js';
import { type Effect, NO_EFFECTS, UNKNOWN_EFFECTS } from '../sql/session-state.js';
import { definesSomething, openingOf } from '../sql/statement-start.js';
import { withoutTrailingComment } from '../sql/trailing-comment.js';
import { Interruption } from '../sql/turn.js';
import { factsOf } from '../sql/walk.js';
import { StatementCache } from './cache.js';

/** What a text is, and what its leading comment asks for. */
export interface Classification extends Judgement {
  readonly hint: Hint | undefined;
  /** Whether it is one statement: only such a one is ever run a second time. */
  readonly isSingle: boolean;
  /** Whether it changes what the catalogue says. */
  readonly isDefinition: boolean;
  /** Whether its connection is the same afterwards, and does not matter to it. */
  readonly isDetached: boolean;
  /** See {@link Facts.isAttached}; so are the next four. */
  readonly isAttached: boolean;
  readonly leavesState: boolean;
  readonly effects: readonly Effect[];
  readonly isTransactionControl: boolean;
  readonly begins: Beginning | undefined;
  /** Tables that a plan of it may lead through, partitions included; `undefined` while the catalogue is not known. */
  readonly tableCount: number | undefined;
}

export interface ClassifierOptions {
  /** Reads the catalogue of the primary, but for the functions where they are known. Rejects when it cannot be had now. */
  readonly load: (known: KnownFunctions | undefined) => Promise<CatalogRows>;
  /** Called for each text that was to be read while the grammar cannot be loaded. */
  readonly grammarMissing: (cause: unknown) => void;
  readonly readOnlyFunctions: readonly string[];
  readonly catalogRefreshMillis: number;
  /** Whether a hint that makes no sense is an error. */
  readonly rejectsInvalidHints: boolean;
}

/** However many names are unknown, and however often loading fails. */
const RELOAD_SPACING_MILLIS = 1_000;
/** The grammar takes a millisecond for 4 kB; what is inserted in bulk says at once what it is. */
const LONG_TEXT = 10_000;
const LONG_WRITE = {
  class: 'write',
  because: 'it begins as one',
  isSingle: true,
  isDefinition: false,
  isDetached: false,
  isAttached: true,
  leavesState: false,
  effects: NO_EFFECTS,
  isTransactionControl: false,
  begins: undefined,
  tableCount: undefined,
} as const;
const NO_GRAMMAR: Judgement = { class: 'write', because: 'the grammar cannot be loaded here' };
const NOT_LOADED: Judgement = { class: 'write', because: 'the catalogue has not been read yet' };
/** For now: it is asked for again. */
const NOT_READ: Judgement = { class: 'write', because: 'what it leads to in the catalogue has not been read yet' };
/** How often one statement lets others run, and goes on reading definitions, before it is sent to the primary. */
const MAX_TURNS = 8;

interface Finding {
  /** `undefined` for what the grammar does not know, or cannot read. */
  readonly facts: Facts | undefined;
  readonly judgement: Judgement;
}

export class Classifier {
  readonly #options: ClassifierOptions;
  readonly #cache = new StatementCache<Classification>();
  /** By what stands before a trailing comment, where the grammar takes that: for texts which only that comment makes unique. */
  readonly #commented = new StatementCache<Classification>();
  /** Fingerprints of statements that a replica refused. */
  readonly #refused = new StatementCache<true>();
  readonly #warned = new StatementCache<true>();
  readonly #grammar = new Grammar();
  #isInUse = false;
  /** Whether it was loaded once; it may be about to be loaded anew. */
  #hasGrammar = false;
  #catalog: Catalog | undefined;
  /** What it was made of. */
  #rows: CatalogRows | undefined;
  /** Names that may mean something else than it says: texts that do not mention them are what they were. */
  readonly #touched = new Set<string>();
  /** Functions that are to be read when it is read next; `undefined` for all. */
  #changed: Set<string> | undefined;
  /** When it was read as a whole. */
  #loadedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;
  #isOutdated = false;
  #changedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ClassifierOptions) {
    this.#options = options;
  }

  /** Our monotonic clock when a definition was told of last. */
  get changedAt(): number {
    return this.#changedAt;
  }

  /** Whether anybody has asked yet. */
  get isInUse(): boolean {
    return this.#isInUse;
  }

  /** What was found out before. */
  known(text: string, now: number): Classification | undefined {
    if (now - this.#loadedAt > this.#options.catalogRefreshMillis) this.#reloadWhole(now);
    const found = this.#remembered(text);
    if (this.#touched.size === 0 || found === undefined || found.class === 'write') return found;
    this.#reload(now);
    return mentions(text, this.#touched) ? undefined : found;
  }

  #remembered(text: string): Classification | undefined {
    const plain = withoutTrailingComment(text);
    const found = plain === undefined ? undefined : this.#commented.get(plain);
    return found ?? this.#cache.get(text);
  }

  /** @throws LadderError `LADDER_INVALID_OPTIONS` for a hint that makes no sense */
  async classify(given: string): Promise<Classification> {
    const hint = this.#hint(given);
    if (isLongWrite(given)) return { ...LONG_WRITE, hint };
    const plain = withoutTrailingComment(given);
    if (plain !== undefined) {
      const found = await this.#classified(plain, hint, this.#commented);
      if (found !== undefined) return found;
    }
    return (await this.#classified(given, hint, this.#cache)) as Classification;
  }

  /** @returns `undefined` for what stands before a trailing comment and is no text by itself: the comment was none, but part of a string */
  async #classified(
    text: string,
    hint: Hint | undefined,
    cache: StatementCache<Classification>,
  ): Promise<Classification | undefined> {
    if (!this.#grammar.isWhole) await this.#loadGrammar();
    const now = performance.now();
    if (this.#catalog === undefined) this.#reload(now);
    const { facts, judgement } = await this.#judgedInTurns(text);
    if (facts === undefined && cache === this.#commented) return undefined;
    // Only what is needed again: the facts may be far larger than the text.
    const { statementCount = 0, isAttached = true, leavesState = true } = facts ?? {};
    const isDefinition = facts?.isDefinition ?? definesSomething(text);
    const { isTransactionControl = false, begins, effects = unreadEffects(text, judgement) } = facts ?? {};
    const { class: is, because } = judgement;
    const isDetached =
      is === 'read' && judgement.isDeclared !== true && facts?.isDetached === true && !text.includes('\0');
    const isSingle = statementCount === 1;
    const left = { leavesState, effects: effects.length === 0 ? NO_EFFECTS : effects };
    const tableCount = facts === undefined ? undefined : this.#catalog?.tableCountOf(facts);
    const kind = { isSingle, isDefinition, isDetached, isAttached, isTransactionControl, begins, tableCount };
    const found = { class: is, because, hint, ...left, ...kind };
    if (judgement.unknown !== undefined) this.#reloadWhole(now);
    // What is only not known yet, or no more, is asked for again.
    const isForNow = judgement === NO_GRAMMAR || judgement === NOT_LOADED || judgement === NOT_READ;
    if (!isForNow && judgement.unknown === undefined) cache.set(text, found);
    return found;
  }

  /** Never rejects: a text that cannot be read is a write. */
  async #loadGrammar(): Promise<void> {
    this.#isInUse = true;
    try {
      await this.#grammar.renewed();
      this.#hasGrammar = true;
    } catch (error) {
      this.#options.grammarMissing(error);
    }
  }

  /** Lets others run wherever much is to be read, or the grammar has to be made anew. */
  async #judgedInTurns(text: string): Promise<Finding> {
    const grammar = this.#grammar;
    for (let turn = 1; turn <= MAX_TURNS; turn++) {
      if (!grammar.isWhole && turn > 1) await this.#loadGrammar();
      if (!grammar.isWhole) return { facts: undefined, judgement: NO_GRAMMAR };
      try {
        return this.judge(text, grammar, mentions(text, this.#touched) ? undefined : this.#catalog);
      } catch (error) {
        if (!(error instanceof Interruption)) throw error;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    return { facts: undefined, judgement: NOT_READ };
  }

  /** Finds out about a text for the next time. A hint that makes no sense is no matter here. */
  learn(text: string): void {
    const finding = this.#catalog === undefined ? this.ready() : this.classify(text);
    finding.catch(() => undefined);
  }

  /** Resolves when the catalogue is known, or could not be had. */
  async ready(): Promise<void> {
    await this.#loadGrammar();
    if (this.#catalog === undefined) this.#reload(performance.now());
    // A definition that has passed through meanwhile has it read once more.
    while (this.#loading !== undefined) await this.#loading;
  }

  /** A replica refused the text, and the primary did not: it is a write, until the catalogue says something new. */
  misrouted(text: string): void {
    const fingerprint = this.#grammar.fingerprint(text);
    if (fingerprint !== undefined) this.#refused.set(fingerprint, true);
    const plain = withoutTrailingComment(text);
    const [cache, key] =
      plain !== undefined && this.#commented.get(plain) !== undefined ? [this.#commented, plain] : [this.#cache, text];
    const known = cache.get(key);
    if (known !== undefined) cache.set(key, { ...known, ...REFUSED });
  }

  /**
   * Something has changed the catalogue: nothing it said of what that can have touched is believed until it is read again.
   * @param text the definition's; `undefined` where it is not known
   */
  changed(text?: string): void {
    this.#changedAt = performance.now();
    if (!this.isInUse) return;
    const { names, functions } = text === undefined ? EVERYTHING : this.#touchedBy(text);
    if (names === undefined) {
      this.#catalog = undefined;
      this.#forgetAll();
    } else for (const name of names) this.#touched.add(name);
    if (functions === undefined) this.#changed = undefined;
    else for (const name of functions) this.#changed?.add(name);
    this.#isOutdated = this.#loading !== undefined;
    this.#triedAt = Number.NEGATIVE_INFINITY;
    this.#reload(performance.now());
  }

  #touchedBy(text: string): Touched {
    if (this.#rows === undefined) return EVERYTHING;
    try {
      return touchedBy(this.#grammar.parse(text), this.#rows);
    } catch {
      return EVERYTHING;
    }
  }

  /**
   * Whether a statement like this one is met for the first time, for warnings that are given once. Never while the
   * grammar is missing: a warning has told of that, and it goes for all statements.
   */
  isFirst(text: string): boolean {
    if (!this.#hasGrammar) return false;
    const fingerprint = this.#grammar.fingerprint(text) ?? text;
    if (this.#warned.get(fingerprint) !== undefined) return false;
    this.#warned.set(fingerprint, true);
    return true;
  }

  /** What it is called where its text must not be told: equal for texts that differ in their constants only, as far as the grammar can read it. */
  digest(text: string): string {
    return this.#grammar.fingerprint(text) ?? createHash('sha256').update(text).digest('hex').slice(0, 16);
  }

  /** As `digest`, also when nobody has asked for anything before. */
  async digestOf(text: string): Promise<string> {
    await this.#loadGrammar();
    return this.digest(text);
  }

  #hint(text: string): Hint | undefined {
    try {
      return hintOf(text);
    } catch (error) {
      if (this.#options.rejectsInvalidHints) throw error;
      return undefined;
    }
  }

  /**
   * Finds out about a text as if it were met for the first time.
   * @param catalog `undefined` while it is not known
   * @throws Interruption when so much is behind it that others should run first
   */
  judge(text: string, grammar: Grammar, catalog: Catalog | undefined): Finding {
    let facts: Facts;
    try {
      facts = factsOf(grammar.parse(text));
    } catch (error) {
      const because = error instanceof TooLongError ? error.message : 'the grammar does not know it';
      return { facts: undefined, judgement: { class: 'write', because } };
    }
    const { calls, fields, relations, operators, types } = facts;
    const needsCatalog = [calls, fields, relations, operators, types].some((names) => names.length > 0);
    if (facts.class === 'write' || !needsCatalog) return { facts, judgement: facts };
    if (catalog === undefined) return { facts, judgement: NOT_LOADED };
    let judgement: Judgement;
    try {
      judgement = catalog.judge(facts);
    } catch (error) {
      if (error instanceof Interruption) throw error;
      return { facts, judgement: { class: 'write', because: 'it is nested too deeply' } };
    }
    if (judgement.class !== 'read' || this.#refused.size === 0) return { facts, judgement };
    const fingerprint = grammar.fingerprint(text);
    const isRefused = fingerprint !== undefined && this.#refused.get(fingerprint) !== undefined;
    return { facts, judgement: isRefused ? REFUSED : judgement };
  }

  #forgetAll(): void {
    this.#cache.clear();
    this.#commented.clear();
  }

  #reloadWhole(now: number): void {
    this.#changed = undefined;
    this.#reload(now);
  }

  /** What was read in vain is read again. */
  #stillDue(changed: ReadonlySet<string> | undefined): void {
    if (changed === undefined) this.#changed = undefined;
    else for (const name of changed) this.#changed?.add(name);
  }

  #reload(now: number): void {
    if (!this.#hasGrammar || this.#loading !== undefined || now - this.#triedAt < RELOAD_SPACING_MILLIS) return;
    const grammar = this.#grammar;
    this.#triedAt = now;
    const changed = this.#rows === undefined ? undefined : this.#changed;
    const known = changed === undefined || this.#rows === undefined ? undefined : { rows: this.#rows, changed };
    // What changes from now on is read the next time.
    this.#changed = new Set();
    this.#loading = this.#options
      .load(known)
      .then(
        (rows) => {
          if (this.#isOutdated) {
            this.#stillDue(changed);
            return;
          }
          this.#catalog = new Catalog(rows, grammar, this.#options.readOnlyFunctions);
          this.#rows = rows;
          this.#touched.clear();
          if (known === undefined) this.#loadedAt = now;
          this.#forgetAll();
          this.#refused.clear();
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
        this.#reload(performance.now());
      });
  }
}

/** A single statement that writes, as far as a look can tell; everything else is parsed. */
function isLongWrite(text: string): boolean {
  return text.length >= LONG_TEXT && /^\s*(?:insert|update|delete|merge)\b/i.test(text) && isPlain(text);
}

/** What a text leaves that was not read: nothing, where a look is enough to tell. */
function unreadEffects(text: string, judgement: Judgement): readonly Effect[] {
  const seemsPlain =
    judgement === NO_GRAMMAR &&
    /^(?:select|insert|update|delete|merge|values|table|with)\b/i.test(openingOf(text)) &&
    !/\btemp|u&/i.test(text);
  return seemsPlain && isPlain(text) ? NO_EFFECTS : UNKNOWN_EFFECTS;
}

/** Whether it is one statement, and changes no setting by a function. */
function isPlain(text: string): boolean {
  const end = text.indexOf(';');
  return (end === -1 || end >= text.trimEnd().length - 1) && !/set_config/i.test(text);
}

const REFUSED: Judgement = { class: 'write', because: 'a replica refused one like it' };
