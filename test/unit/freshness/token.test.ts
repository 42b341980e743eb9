import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeToken, encodeToken, TOKEN_LENGTH } from '../../../src/freshness/token.js';

const position = fc.record({
  clusterId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  timeline: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  lsn: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});

describe('a token', () => {
  it('carries cluster id, timeline and LSN, in a fixed number of safe characters', () => {
    fc.assert(
      fc.property(position, (p) => {
        const token = encodeToken(p);
        expect(token).toHaveLength(TOKEN_LENGTH);
        expect(encodeURIComponent(token)).toBe(token);
        expect(decodeToken(token)).toEqual(p);
      }),
    );
  });

  it('is nothing when one character is missing, added or foreign', () => {
    fc.assert(
      fc.property(
        position,
        fc.nat(TOKEN_LENGTH - 1),
        fc.constantFrom('g', 'F', ' ', '-', '\n', 'é'),
        (p, at, character) => {
          const token = encodeToken(p);
          expect(decodeToken(token.slice(0, at) + token.slice(at + 1))).toBeUndefined();
          expect(decodeToken(`${token}0`)).toBeUndefined();
          expect(decodeToken(token.slice(0, at) + character + token.slice(at + 1))).toBeUndefined();
        },
      ),
    );
  });

  it('is nothing for any other value, and never throws', () => {
    fc.assert(fc.property(fc.anything(), (value) => decodeToken(value) === undefined));
    expect(decodeToken('1'.repeat(10_000_000))).toBeUndefined();
  });
});
