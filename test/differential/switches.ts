/**
 * What the grammar may draw. Faults that are known and not mended yet have a switch each, so that
 * the fuzzer stays quiet about them and loud about everything else: whoever mends one takes its
 * line out of `notYetMended`, and its mark off the test in found-faults.test.ts.
 */

export type Switch =
  | 'migrations'
  | 'drivers without status'
  | 'objects that cannot be written to'
  | 'texts that end in a transaction'
  | 'errors that look like lost connections'
  | 'drivers that rewrite'
  | 'transactions by statements of a pool'
  | 'copies where names were given up';

export interface KnownFault {
  readonly issue: number;
  readonly number: number;
  /** None where what differs is no answer, so that no program shows it. */
  readonly switch?: Switch;
}

export const notYetMended: readonly KnownFault[] = [];

const all: readonly Switch[] = [
  'migrations',
  'drivers without status',
  'objects that cannot be written to',
  'texts that end in a transaction',
  'errors that look like lost connections',
  'drivers that rewrite',
  'transactions by statements of a pool',
  'copies where names were given up',
];

/**
 * @param asked `all`, or numbers of the issue, parted by commas: their switches are on although
 * nobody has mended them
 */
export function switchesFor(asked: string | undefined): ReadonlySet<Switch> {
  const wanted = (asked ?? '').split(',').map(Number);
  const off = notYetMended.filter(({ number }) => asked !== 'all' && !wanted.includes(number));
  return new Set(all.filter((one) => !off.some(({ switch: known }) => known === one)));
}
