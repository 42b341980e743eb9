import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { steadied } from '../../../src/nodes/whereabouts.js';

describe('the age that decides about coming and going', () => {
  it('is above exactly those bounds that were passed and have not been met by half since', () => {
    const ages = fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(ages, fc.double({ min: 0.1, max: 100, noNaN: true }), (history, bound) => {
        let isOut = true;
        let steady = Number.POSITIVE_INFINITY;
        for (const age of history) {
          if (age > bound) isOut = true;
          else if (age <= bound / 2) isOut = false;
          steady = steadied(steady, age);
          expect(steady > bound).toBe(isOut);
        }
      }),
    );
  });
});
