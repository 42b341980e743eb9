/** What strangers send in place of tokens, and how many of it: few and always the same in `npm test`, many and others each time in a soak run. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect } from 'vitest';
import { size } from '../behaviour/fixture.js';

const isSoak = process.env['SOAK'] === '1';

/** What one batch of inputs leaves behind in the generator is given back before the next. */
const BATCH = 2_000;
const MAX_GROWTH_BYTES = 24 * 2 ** 20;

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

/** Runs the property with so many inputs, none of which may leave anything behind. A failure tells its seed: `FUZZ_SEED` runs it again. */
export async function holds<T>(property: fc.IRawProperty<T>, short: number, full = 100_000): Promise<void> {
  const seed = Number(process.env['FUZZ_SEED'] ?? (isSoak ? Date.now() % 2 ** 31 : 17));
  const count = size(short, full);
  const before = heapBytes();
  for (let done = 0; done < count; done += BATCH) {
    const numRuns = Math.min(BATCH, count - done);
    // With seconds for each input, shrinking one to its least would take hours.
    await fc.assert(property, { numRuns, seed: seed + done, endOnFailure: isSoak });
  }
  expect(heapBytes() - before).toBeLessThan(MAX_GROWTH_BYTES);
}

const SIGNS = Array.from('0123456789abcdefABCDEF=;,."\\-_ \t\u00a0\u0085\u2003é%\u0000\r\n{}[]');

/** Short text, of signs that mean something somewhere. */
export const noise = fc.oneof(
  fc.array(fc.constantFrom(...SIGNS), { maxLength: 40 }).map((signs) => signs.join('')),
  fc.string({ maxLength: 200 }),
  fc.constantFrom(
    '',
    '-',
    'null',
    'undefined',
    '[object Object]',
    '.'.repeat(2_000),
    ';'.repeat(2_000),
    'f'.repeat(95),
  ),
  fc.integer({ min: 1, max: 50 }).map((thousands) => 'x'.repeat(thousands * 1_000)),
);

/** Like one of these tokens, or several of them in a row, and none of them. */
export function tokenLike(tokens: readonly string[]): fc.Arbitrary<string> {
  const one = fc.constantFrom(...tokens);
  const changed = fc
    .tuple(one, fc.nat(94), fc.constantFrom(...SIGNS))
    .map(([token, at, sign]) => token.slice(0, at) + sign + token.slice(at + 1))
    .filter((text) => !tokens.some((token) => text.startsWith(token)));
  const cut = fc.tuple(one, fc.nat(94)).map(([token, at]) => token.slice(0, at));
  const grown = fc.tuple(one, noise).map(([token, more]) => `${token}x${more}`);
  const other = fc.oneof(changed, cut, grown, noise);
  return fc.oneof(
    { weight: 4, arbitrary: other },
    { weight: 1, arbitrary: fc.array(other, { maxLength: 12 }).map((list) => list.join('.')) },
  );
}

/** Runs it with a clock beside it: of the processor’s time, since others may be busy. @throws Error when it took a second or more */
export async function withinASecond<T>(what: unknown, run: () => Promise<T> | T): Promise<T> {
  const before = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(before);
  const millis = (user + system) / 1_000;
  if (millis >= 1_000) throw new Error(`took ${Math.round(millis)} ms: ${String(JSON.stringify(what)).slice(0, 500)}`);
  return result;
}
