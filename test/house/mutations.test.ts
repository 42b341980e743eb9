/** The faults that `npm run mutate` plants: each has its place in the code as it is now, and tests that are there. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { planted } from '../../scripts/mutation.mjs';
import { mutations } from '../mutations/index.js';

it('every fault has its place, once', () => {
  const lost = mutations.filter((mutation) => planted(readFileSync(mutation.file, 'utf8'), mutation) === undefined);
  expect(lost.map(({ name, file }) => `${file}: ${name}`)).toEqual([]);
});

it('every fault names tests that are there', () => {
  const named = mutations.flatMap(({ tests }) => tests);
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((test) => !existsSync(test))).toEqual([]);
});
