// Reads under way, and how long others wait for them.
import { describe, expect, it } from 'vitest';
import { Flights } from '../../../src/cache/flights.js';
import { performance } from '../../../src/clock.js';

const asked = () => ({ demand: 'floor-unknown', at: performance.now() });

describe('a read that others wait for', () => {
  it('tells all of them how it has ended, those too who come later', async () => {
    const flight = new Flights<string>().begin('key', asked(), 10_000);
    const before = flight.landed;
    flight.land({ answer: 'rows' });
    expect(await before).toEqual({ answer: 'rows' });
    expect(await flight.landed).toEqual({ answer: 'rows' });
  });

  it('is given up when it takes far longer than it should', async () => {
    const flights = new Flights<string>();
    const flight = flights.begin('key', asked(), 5);
    expect(await Promise.all([flight.landed, flight.landed])).toEqual(['overdue', 'overdue']);
    flight.land({ answer: 'rows' });
    expect(await flight.landed).toBe('overdue');
    expect(flights.owns('key', flight)).toBe(true);
  });

  it('is boarding until its turn is over', async () => {
    const flights = new Flights<string>();
    const [one, two] = [flights.begin('one', asked(), 1_000), flights.begin('two', asked(), 1_000)];
    expect([one.isBoarding, two.isBoarding]).toEqual([true, true]);
    await Promise.resolve();
    expect([one.isBoarding, two.isBoarding]).toEqual([false, false]);
    expect(flights.begin('three', asked(), 1_000).isBoarding).toBe(true);
  });
});
