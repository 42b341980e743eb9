import { describe, expect, it } from 'vitest';
import { writable } from '../../../src/postgres/values.js';

describe('values before they are written', () => {
  it('are left as they are where writing them cannot fail', () => {
    const values = ['a', 1, true, 2n, null, undefined];
    expect(writable(values)).toBe(values);
    expect(writable(undefined)).toEqual([]);
  });

  it('are turned into text as pg does it', () => {
    expect(writable([[1, 2], { a: 1 }, { toPostgres: () => 'own' }])).toEqual(['{"1","2"}', '{"a":1}', 'own']);
    expect(writable([new Uint8Array([1, 2])])).toEqual([Buffer.from([1, 2])]);
  });

  it('throw before anything is written', () => {
    const value = {
      toPostgres: () => {
        throw new Error('mine');
      },
    };
    expect(() => writable([value])).toThrow('mine');
  });

  it('are left to a connection of their own where pg could not write them', () => {
    expect(writable('no array' as unknown as unknown[])).toBeUndefined();
    expect(writable(Array.from({ length: 65_536 }, () => 1))).toBeUndefined();
    expect(writable([{ toJSON: () => undefined }])).toBeUndefined();
  });
});
