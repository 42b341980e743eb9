import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenCodec } from '../../../src/token/codec.js';

const position = fc.record({
  clusterId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  timeline: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  lsn: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});
const now = fc.integer({ min: 0, max: 2 ** 43 });
const subject = fc.option(fc.string(), { nil: undefined });

const LIFETIME = 60_000;
const plain = new TokenCodec([], LIFETIME, 2);
const signed = new TokenCodec(['a secret of some length'], LIFETIME, 2);
const at = { clusterId: '7', timeline: 1, lsn: 1_000n };

describe('a token', () => {
  it.each([
    ['without a signature', plain, 52],
    ['with one', signed, 95],
  ])('carries cluster id, timeline and LSN in a fixed number of safe characters, %s', (_, codec, length) => {
    fc.assert(
      fc.property(position, now, subject, (p, issuedAt, who) => {
        const token = codec.encode(p, issuedAt, who);
        expect(token).toHaveLength(length);
        expect(encodeURIComponent(token)).toBe(token);
        expect(codec.decode(token, issuedAt + LIFETIME, who)).toEqual(p);
      }),
    );
  });

  it('is refused when one character is changed, missing or added', () => {
    fc.assert(
      fc.property(
        position,
        now,
        fc.nat(94),
        fc.constantFrom(...Array.from('0f gF-_\né')),
        (p, issuedAt, i, character) => {
          const token = signed.encode(p, issuedAt);
          fc.pre(token[i] !== character);
          expect(typeof signed.decode(token.slice(0, i) + token.slice(i + 1), issuedAt)).toBe('string');
          expect(typeof signed.decode(`${token}0`, issuedAt)).toBe('string');
          const changed = signed.decode(token.slice(0, i) + character + token.slice(i + 1), issuedAt);
          // The last character of 43 holds four bits only: two spellings of it can mean the same signature.
          if (i < 94) expect(typeof changed).toBe('string');
          else expect(typeof changed === 'string' || ('lsn' in changed && changed.lsn === p.lsn)).toBe(true);
        },
      ),
    );
  });

  it('is refused for another subject, and for somebody when it was for nobody', () => {
    fc.assert(
      fc.property(subject, subject, (mine, yours) => {
        fc.pre(mine !== yours);
        expect(signed.decode(signed.encode(at, 0, mine), 0, yours)).toBe('forged');
      }),
    );
  });

  it('expires', () => {
    for (const codec of [plain, signed]) {
      const token = codec.encode(at, 1_000_000);
      expect(codec.decode(token, 1_000_000 + LIFETIME)).toEqual(at);
      expect(codec.decode(token, 1_000_001 + LIFETIME)).toBe('expired');
    }
  });

  it('survives the rotation of secrets while its own is in the ring, and not after', () => {
    const [old, young] = ['the old secret, retired', 'the young secret, in use'];
    const token = new TokenCodec([old], LIFETIME, 2).encode(at, 0);
    const rotated = new TokenCodec([young, old], LIFETIME, 2);
    expect(rotated.decode(token, 0)).toEqual(at);
    expect(rotated.encode(at, 0)).not.toBe(token);
    expect(new TokenCodec([young], LIFETIME, 2).decode(token, 0)).toBe('forged');
  });

  it('without a signature is none where secrets are set', () => {
    expect(signed.decode(plain.encode(at, 0), 0)).toBe('malformed');
  });

  it('may say that some write has no position, signed, bound to its subject and short-lived as any other', () => {
    const token = signed.encodePrimaryOnly(0, 'ada');
    expect(token).toHaveLength(signed.length);
    expect(signed.decode(token, LIFETIME, 'ada')).toEqual({ onPrimaryOf: undefined });
    expect(signed.decode(token, LIFETIME + 1, 'ada')).toBe('expired');
    expect(signed.decode(token, 0, 'eve')).toBe('forged');
    expect(plain.decode(plain.encodePrimaryOnly(0), 0)).toEqual({ onPrimaryOf: undefined });
  });

  it('is refused, and never throws, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.anything(),
        (value) => signed.decode(value, 0) === 'malformed' && plain.decode(value, 0) === 'malformed',
      ),
    );
    const random = fc
      .array(fc.constantFrom(...Array.from('0123456789abcdef')), { minLength: 95, maxLength: 95 })
      .map((c) => c.join(''));
    fc.assert(
      fc.property(random, (text) => typeof signed.decode(text, 0) === 'string'),
      { numRuns: 5_000 },
    );
    expect(signed.decode('2'.repeat(10_000_000), 0)).toBe('malformed');
  });
});
