import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { wordFor } from '../../../src/errors.js';
import { codeOf, isConnectionLoss, isGone, isPoolTimeout, verdictOf } from '../../../src/postgres/errors.js';

/** As Node's own modules throw within Jest, whose tests run in a realm of their own. */
function foreignError(message: string, more: object = {}): Error {
  const error = runInNewContext(`new Error(${JSON.stringify(message)})`) as Error;
  return Object.assign(error, more);
}

describe('an error of another realm', () => {
  it('is told by its code, its words and its severity as any other', () => {
    const refused = foreignError('connect ECONNREFUSED', { code: 'ECONNREFUSED', errno: -111, syscall: 'connect' });
    expect(refused instanceof Error).toBe(false);
    expect(codeOf(refused)).toBe('ECONNREFUSED');
    expect(isConnectionLoss(refused)).toBe(true);
    expect(isGone(refused)).toBe(true);
    expect(isConnectionLoss(foreignError('Connection terminated unexpectedly'))).toBe(true);
    expect(isPoolTimeout(foreignError('timeout exceeded when trying to connect'))).toBe(true);
    expect(verdictOf(foreignError('no such table', { code: '42P01', severity: 'ERROR' }))).toBe('answered');
    expect(wordFor(refused)).toBe('ECONNREFUSED');
  });
});
