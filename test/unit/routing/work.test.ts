import { expect, it } from 'vitest';
import { Work } from '../../../src/routing/work.js';

it('counts what is under way, and what mostly is when more begins', () => {
  const work = new Work();
  for (let i = 0; i < 5; i++) work.began();
  work.ended();
  expect(work.count).toBe(4);
  for (let i = 0; i < 1_000; i++) {
    work.began();
    work.ended();
  }
  expect(work.count).toBe(4);
  expect(work.usual).toBeCloseTo(4, 3);
});
