/** Which of the known names was meant by one that is unknown: pure, and rather silent than wrong. */

/** A unit that our names end with, and what others write in its place. */
const UNIT = /(?:millis(?:econds)?|ms|seconds?|secs?|bytes|count)$/;

/** @returns `undefined` when none is near */
export function nearest(unknown: string, known: readonly string[]): string | undefined {
  if (unknown.length > 64) return undefined;
  const asked = unknown.toLowerCase();
  const stem = asked.replace(/[-_]/g, '').replace(UNIT, '');
  const isSameStem = (name: string): boolean => stem !== '' && name.toLowerCase().replace(UNIT, '') === stem;
  const same = known.find((name) => name.toLowerCase() === asked) ?? known.find(isSameStem);
  if (same !== undefined) return same;
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const name of known) {
    // Of short names, most differ from each other by a letter or two.
    const most = Math.min(3, Math.floor(Math.max(asked.length, name.length) * 0.35));
    const edits = editsBetween(asked, name.toLowerCase());
    if (edits > most || edits >= least) continue;
    best = name;
    least = edits;
  }
  return best;
}

/** `, did you mean "primary"?`, or nothing: to be put behind the unknown name. */
export function didYouMean(unknown: string, known: readonly string[]): string {
  const name = nearest(unknown, known);
  return name === undefined ? '' : `, did you mean "${name}"?`;
}

/** Letters to be put in, left out or changed, and neighbours to be swapped: the optimal string alignment distance. */
export function editsBetween(one: string, other: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1];
      const isSwap = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      const edits = [(last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (isSame ? 0 : 1)];
      if (isSwap) edits.push((beforeLast[j - 2] ?? 0) + 1);
      row.push(Math.min(...edits));
    }
    beforeLast = last;
    last = row;
  }
  return last[other.length] ?? 0;
}
