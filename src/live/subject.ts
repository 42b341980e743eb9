/** What is watched: a text with its values, checked once, and what is known of it. It runs nothing. */

import { valuesKey } from '../cache/key.js';
import { keepableValues, mannerOf } from '../cache/lookup.js';
import { dependentTables } from '../cache/particulars.js';
import { obstacleTo } from '../cache/terms.js';
import type { CachedText, CachedTexts } from '../cache/texts.js';
import type { TableDependence } from '../changes/dependence.js';
import { invalidOptions } from '../errors.js';
import { textOf } from '../execute/call.js';
import type { Statement } from '../execute/request.js';
import type { WatchSettings } from '../options/watch.js';
import type { ParserSource } from '../postgres/raw-results.js';
import type { Classifier } from '../statements/classifier.js';
import { queryTagOf } from './state-id.js';

/** How often the query runs by itself where nobody says anything else, in milliseconds. */
export const DEFAULT_STALENESS_MILLIS = 5_000;

const MAY_WRITE = 'it may write';

export interface Subject {
  readonly statement: Statement;
  readonly values: readonly unknown[];
  /** Text and values. */
  readonly name: string;
  /** Names it in ids of its states. */
  readonly tag: string;
  readonly tables: readonly string[];
  readonly minIntervalMillis: number;
  /** As it was asked for. */
  readonly maxStalenessMillis: number | undefined;
  readonly rowMode: 'array' | undefined;
  readonly types: ParserSource | undefined;
}

/** Without values that last, it is shared with nobody. */
export function keyOf({ name, tables, minIntervalMillis, maxStalenessMillis }: Subject): string {
  return JSON.stringify([name, tables, minIntervalMillis, maxStalenessMillis ?? null]);
}

/**
 * @throws LadderError `LADDER_INVALID_OPTIONS` for what cannot be watched, and names why
 */
export async function subjectOf(
  statement: Statement,
  { tables, minIntervalMillis, maxStalenessMillis }: WatchSettings,
  classifier: Classifier,
  texts: CachedTexts,
): Promise<Subject> {
  const text: unknown = textOf(statement.query);
  if (typeof text !== 'string') throw invalidOptions('watch: expected a text');
  await classifier.ready();
  const known = await texts.learn(text);
  const problem = refusalOf(known);
  if (problem === MAY_WRITE) {
    const { because } = await classifier.classify(text);
    throw invalidOptions(`watch: ${problem}: ${because}`);
  }
  if (problem !== undefined) throw invalidOptions(`watch: ${problem}`);
  const values = keepableValues(statement);
  if (values === undefined)
    throw invalidOptions(
      'watch: expected values that are null, text, numbers or Buffers once pg has prepared them, and a plain query object',
    );
  const written = valuesKey(values);
  if (written === undefined) throw invalidOptions('watch: its values are too long, or depend on the time');
  const { rowMode, types } = mannerOf(statement.query);
  const name = `${known.hash}:${written}`;
  return {
    statement,
    values,
    name,
    tag: queryTagOf(name),
    tables,
    minIntervalMillis,
    maxStalenessMillis,
    rowMode,
    types,
  };
}

/** Why a text cannot be watched, in words; `undefined` where it can. */
export function refusalOf({ isRead, isSingle, dependencies: { repeatability } }: CachedText): string | undefined {
  if (!isSingle) return 'it is more than one statement, or none';
  if (!isRead) return MAY_WRITE;
  if (repeatability.repeats === 'never') return `it gives another answer each time: ${repeatability.because}`;
  return undefined;
}

/** Whether its position says how fresh an answer is: not of what is no part of the log. */
export function isOfLog(text: CachedText, tables: readonly string[]): boolean {
  return obstacleTo(text, { tables, scope: '' }) === undefined;
}

/** Which changes wake it. */
export function wakingTables({ tables, values }: Subject, text: CachedText): readonly TableDependence[] {
  const known = dependentTables(text, tables, values);
  if (known !== undefined) return known;
  // It is woken by what is known of it, although that may not be all.
  return text.dependencies.relations.map(({ schema, name }) => ({ table: `${schema}.${name}`, fixed: undefined }));
}
