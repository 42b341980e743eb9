// What the messages of pgoutput say: bytes as PostgreSQL 18 has sent them.
import { describe, expect, it } from 'vitest';
import { readMessage } from '../../../src/changes/pgoutput.js';

const PAIRS = 0x4000;
const read = (hex: string, positions?: readonly number[]) =>
  readMessage(Buffer.from(hex, 'hex'), (oid) => (oid === PAIRS ? positions : undefined));

const RELATION =
  '52000040007075626c69630070616972730064000300760000000017ffffffff01610000000017ffffffff01620000000019ffffffff';
const INSERT = '49000040004e00037400000001317400000001377400000002c3a9';
const REKEYED = '55000040004b00036e7400000001377400000002c3a94e00037400000001327400000001387400000002c3a9';
const TRUNCATE = '5400000002000000400000004009';
const MESSAGE = '4d01000000000175a0f070675f6c61646465722e646566696e6974696f6e73000000000364646c';

describe('a message of the log', () => {
  it('begins or ends a transaction', () => {
    expect(read('4200000000017586900003048770cd8e13000002f2')).toEqual({ is: 'begin', xid: 754 });
    const commit = '4300000000000175869000000000017586c00003048770cd8e13';
    expect(read(commit)).toEqual({ is: 'commit', end: 0x17586c0n });
  });

  it('announces a table, with the columns of its key', () => {
    expect(read(RELATION)).toEqual({
      is: 'relation',
      relation: {
        oid: PAIRS,
        identity: 'default',
        columns: [
          { name: 'v', isKey: false, type: 23 },
          { name: 'a', isKey: true, type: 23 },
          { name: 'b', isKey: true, type: 25 },
        ],
      },
    });
  });

  it('tells rows by their key, before and after', () => {
    const row = (keys: unknown) => ({ is: 'row', oid: PAIRS, keys });
    expect(read(INSERT, [1, 2])).toEqual(row([['7', 'é']]));
    expect(read('55000040004e00037400000001327400000001377400000002c3a9', [1, 2])).toEqual(row([['7', 'é']]));
    expect(read(REKEYED, [1, 2])).toEqual(
      row([
        ['7', 'é'],
        ['8', 'é'],
      ]),
    );
    expect(read('44000040004b00036e7400000001387400000002c3a9', [1, 2])).toEqual(row([['8', 'é']]));
    expect(read(INSERT, [1])).toEqual(row([['7']]));
  });

  it('tells no key where that is not known, is null, or was not written again', () => {
    expect(read(INSERT)).toMatchObject({ keys: undefined });
    expect(read('49000040004e00026e740000000137', [0, 1])).toMatchObject({ keys: undefined });
    expect(read('55000040004e000275740000000137', [0])).toMatchObject({ keys: undefined });
    expect(read('55000040004b00027400000001316e4e000275740000000137', [0])).toMatchObject({ keys: undefined });
  });

  it('tells of TRUNCATE, and of logical messages', () => {
    expect(read(TRUNCATE)).toEqual({ is: 'emptied', oids: [0x4000, 0x4009] });
    const prefix = 'pg_ladder.definitions';
    expect(read(MESSAGE)).toEqual({ is: 'message', isTransactional: true, prefix, lsn: 0x175a0f0n });
    const alone = '4d00000000000175a1586f746865720000000000';
    expect(read(alone)).toMatchObject({ isTransactional: false, prefix: 'other' });
  });

  it('may be of no interest', () => {
    expect(read('590000400f7075626c6963006d6f6f6400')).toEqual({ is: 'other' });
    expect(read('4f00000000000000056f00')).toEqual({ is: 'other' });
  });

  it('is refused where it is cut off, or none', () => {
    for (const hex of [RELATION, INSERT, REKEYED, TRUNCATE, '4200000000017586900003048770cd8e13000002f2']) {
      for (let length = 0; length < hex.length; length += 2) {
        const cut = hex.slice(0, length);
        // Between two rows there may be an end.
        if (hex === REKEYED && length === 44) continue;
        expect(() => read(cut, [1, 2])).toThrow(RangeError);
      }
    }
    expect(() => read('5a00', [0])).toThrow(RangeError);
    expect(() => read('490000400058', [0])).toThrow(RangeError);
  });

  it('may name as many tables as there are', () => {
    expect(read('55fffffffe4e000174000000013f')).toMatchObject({ oid: 0xfffffffe });
  });
});
