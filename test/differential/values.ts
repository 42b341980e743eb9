/** Values of every kind that people hand to pg, those that it cannot write included. */
import type { Random } from '../simulation/random.js';
import type { Value } from './program.js';

export function literal(value: string | number | boolean | null): Value {
  return { code: JSON.stringify(value), make: () => value };
}

const odd: readonly Value[] = [
  { code: 'undefined', make: () => undefined },
  literal(null),
  { code: '() => 1', make: () => () => 1 },
  { code: 'Number.NaN', make: () => Number.NaN },
  { code: '-0', make: () => -0 },
  { code: '{ a: 1, b: [null, "x"] }', make: () => ({ a: 1, b: [null, 'x'] }) },
  { code: '[1, [2, null]]', make: () => [1, [2, null]] },
  { code: '["a,b", "c\\"d", null]', make: () => ['a,b', 'c"d', null] },
  { code: 'new Date(1600000000123)', make: () => new Date(1_600_000_000_123) },
  { code: 'new Date(NaN)', make: () => new Date(Number.NaN) },
  { code: '9007199254740993n', make: () => 9_007_199_254_740_993n },
  { code: '"\\u0000"', make: () => 'a\u0000b' },
  { code: '"x".repeat(100_000)', make: () => 'x'.repeat(100_000) },
  literal(''),
  literal('ünïcødé 𝄞'),
  literal('it\'s \\ "quoted"'),
  { code: 'new String("boxed")', make: () => new String('boxed') },
  { code: '{ toPostgres: () => "own" }', make: () => ({ toPostgres: () => 'own' }) },
];

/** Written as bytes, which most types refuse as a fault of the protocol: 08P01. */
const binary: readonly Value[] = [
  { code: 'Buffer.from([0, 1, 255])', make: () => Buffer.from([0, 1, 255]) },
  { code: 'new Uint8Array([7, 8])', make: () => new Uint8Array([7, 8]) },
];

const unwritable: readonly Value[] = [
  {
    code: '{ toPostgres() { throw new Error("unwritable") } }',
    make: () => ({
      toPostgres() {
        throw new Error('unwritable');
      },
    }),
  },
  {
    code: 'circular',
    make: () => {
      const circular: Record<string, unknown> = {};
      circular['self'] = circular;
      return circular;
    },
  },
  {
    code: '{ toJSON() { throw new Error("no JSON") } }',
    make: () => ({
      toJSON() {
        throw new Error('no JSON');
      },
    }),
  },
];

const numbers: readonly Value[] = [1, 2, 3, 5, 7, 12, 20, 0, -1, 2_147_483_647].map(literal);
const bigs: readonly Value[] = [
  literal(5_000_000_000),
  literal('5000000000'),
  { code: '5000000000n', make: () => 5_000_000_000n },
  literal(1_000_000_007),
  literal(3),
];
const moments: readonly Value[] = [
  literal('2020-01-01T01:00:00+01:00'),
  literal('2020-01-01T00:00:00+05:00'),
  literal('2020-01-01 05:00:00'),
  { code: 'new Date("2020-01-01T03:00:00Z")', make: () => new Date('2020-01-01T03:00:00Z') },
  literal('2020-01-01T07:00:00Z'),
];

export type ValueKind = 'id' | 'big' | 'moment' | 'kind' | 'word' | 'text' | 'any' | 'json' | 'raw' | 'list' | 'ids';

/**
 * @param oddity how often a value is none that the column expects @param hasBinary whether it may
 * be bytes then
 */
export function drawValue(random: Random, kind: ValueKind, oddity: number, hasBinary: boolean): Value {
  if (random.chance(oddity)) {
    const what = random.next();
    if (hasBinary && what < 0.15) return random.pick(binary);
    return random.pick(what < 0.3 ? unwritable : odd);
  }
  switch (kind) {
    case 'id':
      return random.pick(numbers);
    case 'big':
      return random.pick(bigs);
    case 'moment':
      return random.pick(moments);
    case 'kind':
      return literal(random.pick(['a', 'b', 'c', 'd', 'nonsense']));
    case 'word':
      return literal(`word ${Math.floor(random.next() * 50)}`);
    case 'text':
      return random.chance(0.1)
        ? literal('forbidden')
        : random.pick([literal('item 3'), literal('item 7'), literal('')]);
    case 'json':
      return { code: '{ n: 3, deep: ["x", null] }', make: () => ({ n: 3, deep: ['x', null] }) };
    case 'raw':
      return { code: 'Buffer.from("0003", "hex")', make: () => Buffer.from('0003', 'hex') };
    case 'list':
      return { code: '["t1", "all"]', make: () => ['t1', 'all'] };
    case 'ids':
      return { code: '[1, 3, 99]', make: () => [1, 3, 99] };
    case 'any':
      return random.pick(odd);
  }
}
