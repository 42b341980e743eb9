/** The texts that sessions read with. The values of each say how the server is to play it. */

/** When the caller asked, by the library's clock, how long the statement itself takes, and what it divides by. */
export type ReadValues = readonly [askedAt: number, takesMillis: number, divisor: 0 | 1];

/** What a server says of a read that divides by 0. */
export const DIVISION_BY_ZERO = '22012';

const START = 'select $1 as asked_at, $2 as takes_millis, 1 / $3 as quotient';

/** Several, as an application has: one that was slow just now keeps only itself from sharing connections. */
export const READS = Array.from({ length: 16 }, (_, i) => readNamed(`read_${i}`));
/** One that always takes long, and so never shares a connection for long. */
export const LASTING_READ = readNamed('lasting_read');

export function isRead(text: string): boolean {
  return text.startsWith(START);
}

function readNamed(name: string): string {
  return `${START}, '${name}' as name`;
}
