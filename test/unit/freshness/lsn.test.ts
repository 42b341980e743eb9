import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatLsn, normaliseLsn, parseLsn } from '../../../src/freshness/lsn.js';

const lsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const layout = { blockBytes: 8192n, segmentBytes: 16n * 1024n * 1024n };

describe('an LSN', () => {
  it('reads what it writes', () => {
    fc.assert(fc.property(lsn, (value) => parseLsn(formatLsn(value)) === value));
  });

  it('reads the zero-padded form of PostgreSQL 19', () => {
    expect(parseLsn('00000016/0B374D84')).toBe(parseLsn('16/B374D84'));
  });

  it('orders as a number where text would not', () => {
    expect((parseLsn('9/0') as bigint) < (parseLsn('10/0') as bigint)).toBe(true);
  });

  it('refuses everything else without throwing', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!/^[0-9a-f]{1,8}\/[0-9a-f]{1,8}$/i.test(text));
        return parseLsn(text) === undefined;
      }),
    );
    for (const text of ['', '/', '1/', '/1', '1/2/3', '123456789/0', '0x1/2', ' 1/2', '1/2\n', 'F'.repeat(1e6)]) {
      expect(parseLsn(text)).toBeUndefined();
    }
  });
});

describe('normalising an insert LSN', () => {
  it.each([
    ['behind the header of a page that no record has followed', 5n * 8192n + 24n, 5n * 8192n],
    ['behind the long header of a segment', layout.segmentBytes * 3n + 40n, layout.segmentBytes * 3n],
    ['behind the header of a segment’s last page', layout.segmentBytes - 8192n + 24n, layout.segmentBytes - 8192n],
    ['40 bytes into a page, where a record really can end', 5n * 8192n + 40n, 5n * 8192n + 40n],
    ['24 bytes into a segment, inside its long header', layout.segmentBytes * 3n + 24n, layout.segmentBytes * 3n + 24n],
    ['exactly on a page', 5n * 8192n, 5n * 8192n],
    ['in the middle of a page', 5n * 8192n + 4000n, 5n * 8192n + 4000n],
  ])('%s', (_, from, to) => {
    expect(normaliseLsn(from, layout)).toBe(to);
  });

  it('never raises an LSN, lowers it by a header at most, and does so once', () => {
    fc.assert(
      fc.property(
        lsn,
        fc.constantFrom(1024n, 8192n, 32768n),
        fc.constantFrom(1n, 16n, 64n),
        (value, block, megabytes) => {
          const sizes = { blockBytes: block, segmentBytes: megabytes * 1024n * 1024n };
          const once = normaliseLsn(value, sizes);
          expect(value - once === 0n || value - once === 24n || value - once === 40n).toBe(true);
          expect(normaliseLsn(once, sizes)).toBe(once);
        },
      ),
    );
  });
});
