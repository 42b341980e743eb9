/**
 * What caches know of each text: what its answer depends on, the number that it has in keys, and the
 * rule that fits it. Found out once a text, and again when the catalogue has changed.
 */
import type { CachedStatement, CacheRule } from '../options/cache.js';
import { type Columns, columnsOf, type ParserSource } from '../postgres/raw-results.js';
import type { Dependencies } from '../sql/dependencies.js';
import { withoutTrailingComment } from '../sql/trailing-comment.js';
import type { Classifier } from '../statements/classifier.js';
import { TextCache } from '../statements/text-cache.js';
import type { KnownColumns } from './entry-codec.js';
import { sharedKey } from './key.js';
import type { RawField } from './raw-answer.js';
import type { KnownText } from './terms.js';

const NO_GENERATION = -1;

/** One text, as caches see it. Texts that differ in a trailing comment only share one. */
export class CachedText implements KnownText {
  /** Stands for the text in keys of this process. */
  readonly id: number;
  /** Stands for the text in keys that processes share. It is kept in place of the text, which may be long. */
  readonly hash: string;
  readonly digest: string;
  readonly isRead: boolean;
  readonly isSingle: boolean;
  /** Of the catalogue that its dependencies were found by. */
  readonly generation: number;
  dependencies: Dependencies;
  /** Names of relations without their schemas: what sessions remember having seen. */
  tables: readonly string[];
  /** One name for each with all that show the same rows. */
  readonly families: readonly string[];
  #columns: Columns<RawField> | undefined;
  #knownColumns: KnownColumns | undefined;
  rule: CacheRule | undefined;
  /** How long its latest read took whose answer could be kept, in milliseconds. */
  fillMillis = 0;

  constructor(
    id: number,
    text: string,
    digest: string,
    known: KnownText & { readonly families: readonly string[] },
    generation: number,
  ) {
    this.id = id;
    this.hash = sharedKey([text]);
    this.digest = digest;
    this.isRead = known.isRead;
    this.isSingle = known.isSingle;
    this.generation = generation;
    this.dependencies = known.dependencies;
    this.tables = bareNames(known.dependencies);
    this.families = known.families;
    this.#columns = undefined;
    this.#knownColumns = undefined;
    this.rule = undefined;
  }

  /** Those of the latest answer that came as a text, as `columnsRead` was told. */
  get knownColumns(): KnownColumns | undefined {
    return this.#knownColumns;
  }

  /** The columns of an answer: those of its latest one where they are the same, since entries hold them. */
  columnsOf(fields: readonly RawField[], types: ParserSource): Columns<RawField> {
    const before = this.#columns;
    if (before !== undefined && areOf(before, fields, types)) return before;
    this.#columns = columnsOf(fields, types);
    return this.#columns;
  }

  /** As {@link columnsOf}, of an answer whose columns were that text. */
  columnsRead(text: string, read: readonly RawField[], types: ParserSource): Columns<RawField> {
    const columns = this.columnsOf(read, types);
    const { fields } = columns;
    if (this.#knownColumns?.fields !== fields) this.#knownColumns = { text, fields };
    return columns;
  }
}

/** Whether they are what would be made of these fields. Each answer of a shared store asks. */
function areOf({ fields, parsers }: Columns<RawField>, others: readonly RawField[], types: ParserSource): boolean {
  if (fields.length !== others.length) return false;
  for (let at = 0; at < fields.length; at++) {
    const field = fields[at] as RawField;
    const other = others[at] as RawField;
    if (field !== other && !isSameField(field, other)) return false;
    if (types.getTypeParser(other.dataTypeID, other.format) !== parsers[at]) return false;
  }
  return true;
}

function isSameField(a: RawField, b: RawField): boolean {
  return (
    a.name === b.name &&
    a.dataTypeID === b.dataTypeID &&
    a.format === b.format &&
    a.tableID === b.tableID &&
    a.columnID === b.columnID &&
    a.dataTypeSize === b.dataTypeSize &&
    a.dataTypeModifier === b.dataTypeModifier
  );
}

export class CachedTexts {
  readonly #classifier: Classifier;
  readonly #rules: readonly CacheRule[];
  readonly #onFault: (error: unknown) => void;
  readonly #byText = new TextCache<CachedText>();
  readonly #learning = new Map<string, Promise<CachedText>>();
  #lastId = 0;

  /** @param onFault told what a rule's own function throws */
  constructor(classifier: Classifier, rules: readonly CacheRule[], onFault: (error: unknown) => void) {
    this.#classifier = classifier;
    this.#rules = rules;
    this.#onFault = onFault;
  }

  /** `undefined` for a text that is new, or that may depend on something else by now: see `learn`. */
  known(text: string): CachedText | undefined {
    const dependencies = this.#classifier.knownDependencies(text);
    if (dependencies === undefined) return undefined;
    const found = this.#byText.get(plainOf(text));
    if (found === undefined || found.dependencies !== dependencies) return undefined;
    return found;
  }

  /** The names under which sessions remember tables: one for all that show the same rows. */
  familiesOf(tables: readonly string[]): readonly string[] {
    const { catalog } = this.#classifier;
    return [...new Set(tables.map((table) => catalog.familyOf(table)))];
  }

  /** Finds out what is to be known of a text. */
  learn(text: string): Promise<CachedText> {
    const plain = plainOf(text);
    let learning = this.#learning.get(plain);
    if (learning === undefined) {
      learning = this.#learn(text, plain).finally(() => this.#learning.delete(plain));
      this.#learning.set(plain, learning);
    }
    return learning;
  }

  async #learn(text: string, plain: string): Promise<CachedText> {
    // They wait for the catalogue, which the class of a text does not: before, it may be a write for now.
    const dependencies = await this.#classifier.dependencies(text);
    const { generation } = this.#classifier.catalog;
    const isOfIt = this.#classifier.knownDependencies(text) === dependencies;
    const found = await this.#classifier.classify(text).catch(() => undefined);
    const digest = await this.#classifier.digestOf(plain);
    const families = this.familiesOf(bareNames(dependencies));
    const known = { isRead: found?.class === 'read', isSingle: found?.isSingle === true, dependencies, families };
    const before = this.#byText.get(plain);
    const learnt = new CachedText(
      before?.id ?? ++this.#lastId,
      plain,
      digest,
      known,
      isOfIt ? generation : NO_GENERATION,
    );
    learnt.rule = this.#ruleFor(plain, learnt);
    this.#byText.set(plain, learnt);
    return learnt;
  }

  #ruleFor(plain: string, text: CachedText): CacheRule | undefined {
    if (this.#rules.length === 0 || !text.isRead) return undefined;
    const { digest, dependencies } = text;
    const names = dependencies.relations.map(({ schema, name }) => `${schema}.${name}`);
    const statement: CachedStatement = Object.freeze({ text: plain, digest, tables: Object.freeze(names) });
    return this.#rules.find((rule) => this.#fits(rule, statement, text));
  }

  #fits(rule: CacheRule, statement: CachedStatement, { dependencies: { relations } }: CachedText): boolean {
    const { tables, digest, match } = rule;
    if (digest !== undefined && digest !== statement.digest) return false;
    const isAmong = ({ schema, name }: { readonly schema: string; readonly name: string }): boolean =>
      tables?.some((table) => table === name || table === `${schema}.${name}`) === true;
    if (tables !== undefined && (relations.length === 0 || !relations.every(isAmong))) return false;
    if (match === undefined) return true;
    try {
      return match(statement) === true;
    } catch (error) {
      this.#onFault(error);
      return false;
    }
  }
}

/** The text without a comment at its end. */
export function plainOf(text: string): string {
  return withoutTrailingComment(text)?.trimEnd() ?? text;
}

export function bareNames({ relations }: Dependencies): readonly string[] {
  return [...new Set(relations.map(({ name }) => name))];
}
