/** What processes tell each other of changes, as texts: what is written is read back, and anything else is nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_RELAY_MESSAGE_LENGTH } from '../../../src/change-relay.js';
import { decodeRelayMessage, encodeRelayMessage, type RelayMessage } from '../../../src/changes/relay-message.js';

const lsns = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const names = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' });
const keyed = fc
  .record({ table: names, keyColumns: fc.array(names, { minLength: 1, maxLength: 3 }) })
  .chain(({ table, keyColumns: { length }, keyColumns }) =>
    fc
      .array(fc.array(fc.string({ unit: 'grapheme' }), { minLength: length, maxLength: length }), { maxLength: 4 })
      .map((keys) => ({ table, keyColumns, keys })),
  );
const changes = fc.oneof(
  fc.constant('all' as const),
  fc.array(
    fc.oneof(
      names.map((table) => ({ table })),
      keyed,
    ),
    { maxLength: 4 },
  ),
);
const messages: fc.Arbitrary<RelayMessage> = fc
  .record({
    stream: names,
    epoch: fc.record({ timeline: fc.integer({ min: 1, max: 2 ** 32 - 1 }), start: lsns, id: fc.uuid() }),
    number: fc.maxSafeNat(),
    from: lsns,
    to: lsns,
    commits: fc.array(fc.record({ lsn: lsns, changes }), { maxLength: 4 }),
    scope: fc.option(fc.record({ tables: fc.array(names), tellsDefinitions: fc.boolean() }), { nil: undefined }),
    end: fc.constantFrom(undefined, 'broken' as const, 'left' as const),
  })
  .map((message) => {
    const sorted = [message.epoch.start, message.from, message.to].toSorted((a, b) => (a < b ? -1 : 1));
    const [start = 0n, from = 0n, to = 0n] = sorted;
    return { ...message, epoch: { ...message.epoch, start }, from, to };
  });

const plain: RelayMessage = {
  stream: '1/2',
  epoch: { timeline: 1, start: 5n, id: 'a' },
  number: 0,
  from: 5n,
  to: 7n,
  commits: [{ lsn: 6n, changes: [{ table: 'public.t', keyColumns: ['id'], keys: [['1']] }] }],
  scope: { tables: ['public.t'], tellsDefinitions: true },
  end: undefined,
};

describe('a message about changes', () => {
  it('is read back as it was written', () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(decodeRelayMessage(encodeRelayMessage(message))).toEqual(message);
      }),
    );
  });

  it('is nothing, and no error, when it is anything else', () => {
    const parts = JSON.parse(encodeRelayMessage(plain)) as unknown[];
    fc.assert(
      fc.property(fc.nat(parts.length - 1), fc.anything(), (at, other) => {
        const text = JSON.stringify(parts.toSpliced(at, 1, other));
        const read = decodeRelayMessage(text);
        if (read !== undefined) expect(decodeRelayMessage(encodeRelayMessage(read))).toEqual(read);
      }),
    );
    fc.assert(
      fc.property(fc.anything(), (text) => {
        expect(decodeRelayMessage(text)).toBeUndefined();
      }),
    );
  });

  it.each([
    ['a timeline of 0', 2, 0],
    ['a timeline beyond 32 bits', 2, 2 ** 32],
    ['a position that is none', 3, 'FFFFFFFFF/0'],
    ['a position in another form', 6, 5],
    ['no name of its epoch', 4, ''],
    ['a negative number', 5, -1],
    ['a number beyond what is exact', 5, 2 ** 53],
    ['a position before its epoch', 6, '0/1'],
    ['an end that is none', 10, 'other'],
    ['a key of too few values', 8, [['0/6', [['t', ['id', 'other'], [['1']]]]]]],
    ['a key of no columns', 8, [['0/6', [['t', [], [[]]]]]]],
    ['a value that is no text', 8, [['0/6', [['t', ['id'], [[1]]]]]]],
    ['a table without a name', 8, [['0/6', [['']]]]],
  ])('is nothing with %s', (_what, at, other) => {
    const parts = JSON.parse(encodeRelayMessage(plain)) as unknown[];
    expect(decodeRelayMessage(JSON.stringify(parts))).toEqual(plain);
    expect(decodeRelayMessage(JSON.stringify(parts.toSpliced(at, 1, other)))).toBeUndefined();
  });

  it('is nothing when it is too long', () => {
    const long = encodeRelayMessage({ ...plain, scope: { tables: ['t'], tellsDefinitions: true } });
    expect(decodeRelayMessage(long + ' '.repeat(MAX_RELAY_MESSAGE_LENGTH - long.length))).toBeDefined();
    expect(decodeRelayMessage(long + ' '.repeat(MAX_RELAY_MESSAGE_LENGTH - long.length + 1))).toBeUndefined();
  });
});
