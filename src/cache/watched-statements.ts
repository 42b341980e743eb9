/**
 * The statements and exact keys that `auto` knows: those that come most often, in as many places as
 * it has, whatever comes. It holds no text but of statements whose answers are given.
 */
import { hashOf } from '../routing/partition.js';
import { SpaceSaving } from '../routing/space-saving.js';
import { TextCache } from '../statements/text-cache.js';
import { FrequencySketch } from './frequency-sketch.js';
import { WatchedKey, WatchedStatement } from './watched.js';

const STATEMENTS = 128;
const KEYS = 512;
/** Texts and keys of which it is known that they have come before. */
const SEEN = 2_048;
const TEXTS = 1_000;
const TEXT_BYTES = 2 ** 20;
/** A text that is looked up by its own characters. */
const MOST_CHARACTERS = 10_000;
/** What came before counts half after so many weighings. */
const HALF_LIFE_WEIGHINGS = 4;

export class WatchedStatements {
  readonly #statements: (WatchedStatement | undefined)[] = [];
  readonly #keys: (WatchedKey | undefined)[] = [];
  readonly #statementCounters = new SpaceSaving(STATEMENTS, (slot) => {
    this.#statements[slot]?.drop();
    this.#statements[slot] = undefined;
  });
  readonly #keyCounters = new SpaceSaving(KEYS, (slot) => {
    this.#keys[slot] = undefined;
  });
  readonly #byText = new TextCache<WatchedStatement>(TEXTS, TEXT_BYTES);
  readonly #seenTexts = new FrequencySketch();
  readonly #seenKeys = new FrequencySketch();
  #weighings = 0;
  #servingCount = 0;

  constructor() {
    this.#seenTexts.suit(SEEN);
    this.#seenKeys.suit(SEEN);
  }

  /** Whether answers of any statement are given. */
  get isServing(): boolean {
    return this.#servingCount > 0;
  }

  /** The statement of that text, where its answers are kept and given. @param plain without a trailing comment */
  servingBy(plain: string): WatchedStatement | undefined {
    if (plain.length > MOST_CHARACTERS) return undefined;
    const found = this.#byText.get(plain);
    return found?.isServing === true ? found : undefined;
  }

  /** A read of that text was looked at, which is known to come again. */
  named(plain: string, statement: WatchedStatement): void {
    if (plain.length <= MOST_CHARACTERS && this.#byText.get(plain) !== statement) this.#byText.set(plain, statement);
  }

  /** A read of a statement was looked at. */
  recordStatement(digest: string): WatchedStatement {
    const hash = hashOf(digest);
    const slot = this.#statementCounters.add(hash);
    const present = this.#statements[slot];
    if (present?.digest === digest) return present;
    present?.drop();
    const statement = new WatchedStatement(digest, (key, own) => this.recordKey(key, own));
    this.#statements[slot] = statement;
    return statement;
  }

  /** A read of an exact key was looked at. */
  recordKey(key: string, statement: WatchedStatement): WatchedKey {
    const hash = this.#seenKeys.hashOf(key);
    const slot = this.#keyCounters.add(hash);
    const present = this.#keys[slot];
    if (present?.statement === statement) return present;
    const watched = new WatchedKey(statement);
    this.#keys[slot] = watched;
    return watched;
  }

  /** What is known of an exact key; it counts nothing. */
  keyOf(key: string): WatchedKey | undefined {
    const slot = this.#keyCounters.slotOf(this.#seenKeys.hashOf(key));
    return slot === undefined ? undefined : this.#keys[slot];
  }

  /** What is known of a statement; it counts nothing. */
  statementOf(digest: string): WatchedStatement | undefined {
    const slot = this.#statementCounters.slotOf(hashOf(digest));
    const found = slot === undefined ? undefined : this.#statements[slot];
    return found?.digest === digest ? found : undefined;
  }

  /** Whether that text has come before, of late. It has now. */
  hasSeenText(text: string): boolean {
    return hasSeen(this.#seenTexts, text);
  }

  /** The same of an exact key. */
  hasSeenKey(key: string): boolean {
    return hasSeen(this.#seenKeys, key);
  }

  keyCountOf(statement: WatchedStatement): number {
    return this.#keys.filter((key) => key?.statement === statement && key.ghost !== undefined).length;
  }

  /** Those that are known, in no order. */
  list(): WatchedStatement[] {
    return this.#statements.filter((statement) => statement !== undefined);
  }

  /** Weighs all, and lets what was counted fade. @param millis since the last time */
  weigh(millis: number, mayServe: boolean): void {
    let servingCount = 0;
    for (const statement of this.list()) {
      statement.weigh(millis, mayServe);
      if (statement.isServing) servingCount++;
    }
    this.#servingCount = servingCount;
    if (++this.#weighings % HALF_LIFE_WEIGHINGS !== 0) return;
    this.#statementCounters.halve(1);
    this.#keyCounters.halve(1);
  }
}

function hasSeen(sketch: FrequencySketch, text: string): boolean {
  const hash = sketch.hashOf(text);
  const isKnown = sketch.frequencyOf(hash) > 0;
  sketch.recordUse(hash);
  return isKnown;
}
