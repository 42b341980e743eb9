/** How a live query would learn of changes, in words. It runs nothing. */
import { dependentTables } from '../cache/particulars.js';
import type { CachedText } from '../cache/texts.js';
import type { Changes } from '../changes/changes.js';
import { refusalOf } from './subject.js';

/** How a live query learns that it must run again. */
export interface LiveVerdict {
  /** `stream`: by changes, as they happen. `polled`: it runs again at the bound on staleness. `undefined`: it cannot be watched. */
  readonly advances: 'stream' | 'polled' | undefined;
  /** Why, in a sentence. */
  readonly because: string;
}

export function verdictOf(text: CachedText, tables: readonly string[], changes: Changes | undefined): LiveVerdict {
  const refusal = refusalOf(text);
  if (refusal !== undefined) return { advances: undefined, because: refusal };
  const obstacle = polledBecause(text, tables, changes);
  if (obstacle !== undefined) return { advances: 'polled', because: obstacle };
  return { advances: 'stream', because: 'all changes of what it depends on are heard' };
}

function polledBecause(text: CachedText, tables: readonly string[], changes: Changes | undefined): string | undefined {
  if (changes === undefined) return 'the option changes is not set';
  const { repeatability, mayBeMore } = text.dependencies;
  if (repeatability.repeats === 'timed') return repeatability.because;
  if (mayBeMore !== undefined && tables.length === 0) return `${mayBeMore}; name its tables`;
  const known = dependentTables(text, tables, []);
  if (known === undefined) return 'it depends on what is in no table that changes are heard of';
  return known.map(({ table }) => changes.deafnessTo(table)).find((deafness) => deafness !== undefined);
}
