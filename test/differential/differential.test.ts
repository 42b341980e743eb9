/**
 * The library beside bare pg, by programs that are drawn: the same rows, errors, states of
 * connections and data, whatever is done in whatever order, but for what documented.ts lists.
 * `DIFFERENTIAL_SEED=17` plays that program again and makes it small, `DIFFERENTIAL_FROM=17` goes on from there; `DIFFERENTIAL_FAULTS=all` or
 * `=3,5` also draws what is known to be wrong.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { report, size } from '../behaviour/fixture.js';
import { fuzz, printFind } from './fuzz.js';
import { ProcessWatch } from './process-watch.js';
import { type Pair, Servers } from './servers.js';
import { switchesFor } from './switches.js';

const STEPS = size(150, 300);
const RUNNERS = size(2, 8);
const asked = process.env['DIFFERENTIAL_SEED'];
const statements = Number(process.env['DIFFERENTIAL_STATEMENTS'] ?? size(1_000, 1_000_000));

function progress(seed: number, programs: number, sent: number): void {
  if (programs % size(1_000, 20) === 0)
    process.stderr.write(`  ${programs} programs, the last of seed ${seed}, ${sent} statements\n`);
}

let servers: Servers;
let pairs: Pair[];
let watch: ProcessWatch;

beforeAll(async () => {
  servers = await Servers.start();
  pairs = [];
  for (let i = 0; i < (asked === undefined ? RUNNERS : 1); i++) pairs.push(await servers.pair());
  watch = new ProcessWatch();
});
afterAll(async () => {
  watch.end();
  await servers[Symbol.asyncDispose]();
});

describe('the library beside bare pg', () => {
  it(
    'answers as pg does, whatever is asked in whatever order',
    async () => {
      const options = {
        seed: Number(asked ?? process.env['DIFFERENTIAL_FROM'] ?? 1),
        statements: asked === undefined ? statements : 1,
        millis: size(6_000, Number.POSITIVE_INFINITY),
        length: STEPS,
        switches: switchesFor(process.env['DIFFERENTIAL_FAULTS']),
        progress,
      };
      const { find, documented, ...figures } = await fuzz(pairs, watch, options);
      report('differential', { ...figures, ...documented });
      expect(find === undefined ? '' : printFind(find)).toBe('');
    },
    size(120_000, 0),
  );
});
