import { describe, expect, it } from 'vitest';
import { Candidates } from '../../../src/http/candidates.js';
import { TokenCodec } from '../../../src/token/codec.js';

const codec = new TokenCodec(['a secret of some length'], 60_000, 2);
const token = (lsn: bigint) => codec.encode({ clusterId: '7', timeline: 1, lsn }, 0);
const candidatesIn = (...texts: unknown[]) => {
  const candidates = new Candidates((text) => codec.isToken(text));
  for (const text of texts) candidates.add(text);
  return candidates;
};

describe('what may be a token', () => {
  it('is found between dots, commas and blanks, once each and in order', () => {
    const [a, b, c] = [token(1n), token(2n), token(3n)];
    const { tokens, malformedCount } = candidatesIn(`${a}.${b}`, ` ${b} ,\t${c}.`, '-', '', a);
    expect([tokens, malformedCount]).toEqual([[a, b, c], 0]);
  });

  it('is displaced by nothing that has no token’s form, however much of that comes first', () => {
    const honest = token(1n);
    const junk = 'junk.'.repeat(100_000);
    const { tokens, malformedCount } = candidatesIn(junk, `${honest.slice(1)}.${honest}0`, honest);
    expect(tokens).toEqual([honest]);
    expect(malformedCount).toBe(512);
  });

  it('is displaced by none of the tokens that fit into a head of 16 kB', () => {
    const strangers = Array.from({ length: 16_384 / 96 }, (_, i) => token(BigInt(i + 2)));
    expect(candidatesIn(strangers.join('.'), token(1n)).tokens).toContain(token(1n));
  });

  it('is at most 512, however large a head may be', () => {
    const many = Array.from({ length: 5_000 }, (_, i) => token(BigInt(i)));
    expect(candidatesIn(many.join('.')).tokens).toHaveLength(512);
  });

  it.each([
    [undefined],
    [null],
    [7],
    [Symbol('token')],
    [{}],
    [[token(1n)]],
    [Buffer.from(token(1n))],
    [() => token(1n)],
  ])('is no %s', (text) => {
    const { tokens, malformedCount } = candidatesIn(text);
    expect([tokens, malformedCount]).toEqual([[], 1]);
  });
});
