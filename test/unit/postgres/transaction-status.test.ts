import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { statusReader } from '../../../src/postgres/transaction-status.js';

describe('whether a connection is in a transaction', () => {
  it('is heard from the server where pg does not tell it: before 8.23', () => {
    const connection = new EventEmitter();
    const status = statusReader({ connection });
    expect(status()).toBeUndefined();
    // Whoever waits for the statement asks as soon as pg has heard of its end.
    const told: unknown[] = [];
    connection.on('readyForQuery', () => told.push(status()));
    for (const said of ['I', 'T', 'E', 'I']) connection.emit('readyForQuery', { status: said });
    expect(told).toEqual(['I', 'T', 'E', 'I']);
  });

  it('is what pg tells where it does, and unknown of a client that tells nothing', () => {
    let said: string | null = null;
    const status = statusReader({ getTransactionStatus: () => said });
    expect(status()).toBeUndefined();
    said = 'T';
    expect(status()).toBe('T');
    expect(statusReader({})()).toBeUndefined();
  });
});
