/**
 * What a text is: remembered in its entry, found out by the grammar and the catalogue, and
 * corrected by what replicas refuse. It loads both when it is first asked. While the catalogue is
 * not known, what depends on it is a write; while the grammar cannot be loaded, everything is. It
 * never rejects for what it could not load.
 */
import { performance, setImmediate } from '../clock.js';
import { type Dependencies, unknownDependencies } from '../sql/dependencies.js';
import { digestOf } from '../sql/digest.js';
import { Grammar } from '../sql/grammar.js';
import { type Hint, hintOf } from '../sql/hint.js';
import { withoutTrailingComment } from '../sql/trailing-comment.js';
import { Interruption } from '../sql/turn.js';
import { StatementCache } from './cache.js';
import {
  type Classification,
  classificationOf,
  type Finding,
  isForNow,
  longWrite,
  NO_GRAMMAR,
  NOT_LOADED,
  NOT_READ,
  REFUSED,
  UNREAD,
} from './classification.js';
import { type CatalogOptions, CurrentCatalog } from './current-catalog.js';
import { judgeText } from './judge-text.js';
import type { Statement } from './statement.js';
import { TextCache } from './text-cache.js';

export type { Classification } from './classification.js';

export interface ClassifierOptions extends CatalogOptions {
  /** Called for each text that was to be read while the grammar cannot be loaded. */
  readonly grammarMissing: (cause: unknown) => void;
  /** Whether a hint that makes no sense is an error. */
  readonly rejectsInvalidHints: boolean;
}

/**
 * How often one statement lets others run, and goes on reading definitions, before it is sent to
 * the primary.
 */
const MAX_TURNS = 8;

/** What was found, and by which generation of the catalogue. */
interface Judged extends Finding {
  readonly generation: number;
}

export class Classifier {
  readonly #options: ClassifierOptions;
  /** All that is known of texts, by text. */
  readonly statements = new StatementCache(this);
  /** Fingerprints of statements that a replica refused. */
  readonly #refused = new TextCache<true>();
  readonly #warned = new TextCache<true>();
  readonly #grammar = new Grammar();
  readonly #current: CurrentCatalog;
  #isInUse = false;
  /** Whether it was loaded once; it may be about to be loaded anew. */
  #hasGrammar = false;
  #changedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ClassifierOptions) {
    this.#options = options;
    this.#current = new CurrentCatalog(options, this.#grammar, () => this.#refused.clear());
  }

  /** Our monotonic clock when the last definition passed. */
  get changedAt(): number {
    return this.#changedAt;
  }

  /** The catalogue that texts are judged by. */
  get catalog(): CurrentCatalog {
    return this.#current;
  }

  /** Whether any text was to be classified yet. */
  get isInUse(): boolean {
    return this.#isInUse;
  }

  /**
   * What was found out before; `undefined` for a text that is new, or that may mean something else
   * by now.
   */
  known(text: string, now: number): Classification | undefined {
    const current = this.#current;
    if (current.isOld(now)) current.reloadWhole(now);
    const found = this.statements.find(text)?.meaning.classification(current.generation);
    if (!current.isTouched || found === undefined || found.class === 'write') return found;
    current.reload(now);
    return current.mayHaveChanged(text) ? undefined : found;
  }

  /** @throws LadderError `LADDER_INVALID_OPTIONS` for a hint that makes no sense */
  async classify(text: string): Promise<Classification> {
    const hint = this.#hint(text);
    const long = longWrite(text, hint);
    if (long !== undefined) return long;
    const plain = withoutTrailingComment(text);
    if (plain !== undefined) {
      const finding = await this.#find(plain);
      // If the grammar does not take it, the comment was none, but part of a string.
      if (finding.facts !== undefined)
        return this.#classified(plain, finding, hint, () => this.statements.shared(plain));
    }
    return this.#classified(text, await this.#find(text), hint, () => this.statements.exact(text));
  }

  #classified(text: string, finding: Judged, hint: Hint | undefined, entry: () => Statement): Classification {
    const { facts, generation } = finding;
    const tableCount = facts === undefined ? undefined : this.#current.catalog?.tableCountOf(facts);
    const found = classificationOf(text, finding, hint, tableCount);
    if (!isForNow(finding.judgement)) entry().meaning.classify(found, generation);
    return found;
  }

  async #find(text: string): Promise<Judged> {
    if (!this.#grammar.isWhole) await this.#loadGrammar();
    const now = performance.now();
    if (this.#current.catalog === undefined) this.#current.reload(now);
    const finding = await this.#judgedInTurns(text);
    if (finding.judgement.unknown !== undefined) this.#current.reloadWhole(now);
    return finding;
  }

  /**
   * What the text's answer depends on, as far as that was asked for before; `undefined` otherwise.
   */
  knownDependencies(text: string): Dependencies | undefined {
    const { generation } = this.#current;
    const found = this.statements.find(text)?.meaning.dependencies(generation);
    return found === undefined || this.#current.mayHaveChanged(text) ? undefined : found;
  }

  /**
   * What the text's answer depends on: its relations, the key that it fixes, and whether it
   * repeats. Found out when it is first asked for, by reading the text once more. Never rejects:
   * what cannot be known counts as depending on anything, and as never repeating.
   */
  async dependencies(text: string): Promise<Dependencies> {
    const known = this.knownDependencies(text);
    if (known !== undefined) return known;
    await this.ready();
    const plain = withoutTrailingComment(text);
    const found =
      plain === undefined ? undefined : await this.#dependenciesOf(plain, () => this.statements.shared(plain));
    return (
      found ?? (await this.#dependenciesOf(text, () => this.statements.exact(text))) ?? unknownDependencies(UNREAD)
    );
  }

  /** @returns `undefined` for a text that the grammar does not take */
  async #dependenciesOf(text: string, entry: () => Statement): Promise<Dependencies | undefined> {
    for (let turn = 1; turn <= MAX_TURNS; turn++) {
      if (!this.#grammar.isWhole && turn > 1) await this.#loadGrammar();
      const { generation } = this.#current;
      const catalog = this.#current.for(text);
      if (!this.#grammar.isWhole || catalog === undefined) return unknownDependencies(NOT_LOADED.because);
      try {
        const found = catalog.dependenciesOf(this.#grammar.parse(text));
        entry().meaning.depend(found, generation);
        return found;
      } catch (error) {
        if (!(error instanceof Interruption)) return undefined;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    return unknownDependencies(NOT_READ.because);
  }

  /** Never rejects: a text that cannot be read is a write. */
  async #loadGrammar(): Promise<void> {
    this.#isInUse = true;
    try {
      await this.#grammar.renewed();
      this.#hasGrammar = true;
      this.#current.allow();
    } catch (error) {
      this.#options.grammarMissing(error);
    }
  }

  /** Lets others run wherever much is to be read, or the grammar has to be made anew. */
  async #judgedInTurns(text: string): Promise<Judged> {
    const grammar = this.#grammar;
    for (let turn = 1; turn <= MAX_TURNS; turn++) {
      if (!grammar.isWhole && turn > 1) await this.#loadGrammar();
      if (!grammar.isWhole) return { facts: undefined, judgement: NO_GRAMMAR, generation: this.#current.generation };
      try {
        const { generation } = this.#current;
        const isRefused = (): boolean => this.#isRefused(text, grammar);
        return { ...judgeText(text, grammar, this.#current.for(text), isRefused), generation };
      } catch (error) {
        if (!(error instanceof Interruption)) throw error;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    return { facts: undefined, judgement: NOT_READ, generation: this.#current.generation };
  }

  /** Classifies a text for the next time, in the background. Ignores a hint that makes no sense. */
  learn(text: string): void {
    const finding = this.#current.catalog === undefined ? this.ready() : this.classify(text);
    finding.catch(() => undefined);
  }

  /** Whether texts can be judged at once: grammar and catalogue are loaded. */
  get isReady(): boolean {
    return this.#grammar.isWhole && this.#current.catalog !== undefined;
  }

  /** Resolves when the catalogue is known, or could not be had. */
  async ready(): Promise<void> {
    await this.#loadGrammar();
    if (this.#current.catalog === undefined) this.#current.reload(performance.now());
    await this.#current.settled();
  }

  /**
   * A replica refused the text, and the primary did not: it is a write, until the catalogue says
   * something new.
   */
  misrouted(text: string): void {
    const fingerprint = this.#grammar.fingerprint(text);
    if (fingerprint !== undefined) this.#refused.set(fingerprint, true);
    const { generation } = this.#current;
    const meaning = this.statements.find(text)?.meaning;
    const known = meaning?.classification(generation);
    if (known !== undefined) meaning?.classify({ ...known, ...REFUSED }, generation);
  }

  /**
   * Something has changed the catalogue: what it said of all that this may have touched counts no
   * more, until it is read again.
   * @param text the definition's; `undefined` where it is not known
   */
  changed(text?: string): void {
    this.#changedAt = performance.now();
    if (this.isInUse) this.#current.changed(text);
  }

  /**
   * Whether a statement like this one is met for the first time, for warnings that are given once.
   * Never while the grammar is missing: a warning has told of that, and it goes for all statements.
   */
  isFirst(text: string): boolean {
    if (!this.#hasGrammar) return false;
    const fingerprint = this.#grammar.fingerprint(text) ?? text;
    if (this.#warned.get(fingerprint) !== undefined) return false;
    this.#warned.set(fingerprint, true);
    return true;
  }

  /**
   * What the text is called where it must not be told, such as `18:5f2c…`; see `digestOf` in sql/.
   */
  digest(text: string): string {
    const meaning = this.statements.find(text)?.meaning;
    if (meaning?.digest !== undefined) return meaning.digest;
    const digest = digestOf(text, this.#grammar);
    // Without the grammar, it is another one for a while.
    if (meaning !== undefined && this.#grammar.isWhole) meaning.digest = digest;
    return digest;
  }

  /** As `digest`, also when nothing has been classified before. */
  async digestOf(text: string): Promise<string> {
    await this.#loadGrammar();
    return this.digest(text);
  }

  /** As `digest`; `undefined` while the grammar is not there, which is loaded then. */
  digestNow(text: string): string | undefined {
    if (this.#hasGrammar) return this.digest(text);
    void this.#loadGrammar();
    return undefined;
  }

  #hint(text: string): Hint | undefined {
    try {
      return hintOf(text);
    } catch (error) {
      if (this.#options.rejectsInvalidHints) throw error;
      return undefined;
    }
  }

  #isRefused(text: string, grammar: Grammar): boolean {
    if (this.#refused.size === 0) return false;
    const fingerprint = grammar.fingerprint(text);
    return fingerprint !== undefined && this.#refused.get(fingerprint) !== undefined;
  }
}
