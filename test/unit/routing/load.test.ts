import { expect, it } from 'vitest';
import { Load } from '../../../src/routing/load.js';

it('counts what is under way, and what mostly is when more begins', () => {
  const work = new Load();
  for (let i = 0; i < 5; i++) work.add();
  work.remove();
  expect(work.count).toBe(4);
  for (let i = 0; i < 1_000; i++) {
    work.add();
    work.remove();
  }
  expect(work.count).toBe(4);
  expect(work.usual).toBeCloseTo(4, 3);
});
