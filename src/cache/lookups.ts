/** Puts together what a read asks of caches, or says in words why they pass it by. It looks nothing up. */
import type { CacheSettings } from '../options/cache.js';
import type { CacheGround } from './ground.js';
import { valuesKey } from './key.js';
import { type CacheCall, judgingOf, keepableValues, keyOf, type Lookup, mannerOf } from './lookup.js';
import { obstacleTo, termsOf, termsUnasked } from './terms.js';
import type { CachedText, CachedTexts } from './texts.js';
import type { WatchedStatement } from './watched.js';

export const NO_POSITIONS = 'no positions are tracked';

export class Lookups {
  readonly #settings: CacheSettings;
  readonly #ground: CacheGround;
  readonly #texts: CachedTexts;
  /** Numbers for what decides how connections write their answers. */
  readonly #settingsNumbers = new Map<string, number>();
  #latestSettings: string | undefined;
  #latestNumber = 0;

  constructor(settings: CacheSettings, ground: CacheGround, texts: CachedTexts) {
    this.#settings = settings;
    this.#ground = ground;
    this.#texts = texts;
  }

  /**
   * @param watched the call's statement, where nobody but `auto` asks
   * @returns why the read passes caches by, in words, where it does
   */
  of(call: CacheCall, text: CachedText, watched?: WatchedStatement): Lookup | string {
    const { scope, options, statement, entry } = call;
    const { fleet, requests } = this.#ground;
    const terms =
      watched === undefined
        ? termsOf(options?.cache, scope.cache, text.rule, this.#settings)
        : termsUnasked(this.#settings);
    if (terms === undefined) return 'nothing asks for it';
    if (options?.target !== undefined) return 'target asks for a server';
    if (!fleet.history.isTracking) return NO_POSITIONS;
    const obstacle = obstacleTo(text, terms);
    if (obstacle !== undefined) return obstacle;
    const source = fleet.answerSources.current;
    if (source === undefined) return fleet.answerSources.problem ?? 'no replica has been connected to yet';
    const values = keepableValues(statement);
    if (values === undefined) return 'its query object or its values say more than can be kept';
    const written = valuesKey(values);
    if (written === undefined) return 'its values are too long, or depend on the time';
    const key = keyOf(this.#numberOf(source.settings), text, terms.scope, written);
    const reading = requests.terms(scope, options, entry);
    const { requirement } = reading;
    if (requirement.consistency === 'strong') return 'strong reads ask a server';
    const { rowMode, types } = mannerOf(statement.query);
    const { tables, families } = terms.tables.length === 0 ? text : this.#withNamed(text, terms.tables);
    const judging = judgingOf(reading, terms.maxStalenessMillis);
    return {
      call,
      asker: scope,
      text,
      terms,
      statement: watched,
      reading,
      judging,
      settings: source.settings,
      key,
      values,
      written,
      rowMode,
      types,
      tables,
      families,
    };
  }

  #withNamed(text: CachedText, named: readonly string[]): Pick<Lookup, 'tables' | 'families'> {
    const names = named.map(bareName);
    const tables = [...text.tables, ...names];
    return { tables, families: [...text.families, ...this.#texts.familiesOf(names)] };
  }

  #numberOf(settings: string): number {
    // The very text, as a rule: to look it up takes a look at all of it.
    if (settings === this.#latestSettings) return this.#latestNumber;
    const number = this.#settingsNumbers.get(settings) ?? this.#settingsNumbers.size;
    this.#settingsNumbers.set(settings, number);
    this.#latestSettings = settings;
    this.#latestNumber = number;
    return number;
  }
}

function bareName(table: string): string {
  return table.slice(table.lastIndexOf('.') + 1);
}
