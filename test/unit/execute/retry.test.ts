import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { codeOf, isConnectionLoss, isPoolTimeout, isServerError } from '../../../src/execute/retry.js';

/** As under Jest, where Node's own modules throw instances of another `Error` than the one that is seen there. */
const elsewhere = (message: string, more: object = {}): unknown =>
  Object.assign(runInNewContext('new Error(message)', { message }) as object, more);

describe('errors of another realm', () => {
  it('is one that the code here does not see as an Error', () => {
    expect(elsewhere('x')).not.toBeInstanceOf(Error);
  });

  it.each([
    ['connect ECONNREFUSED 127.0.0.1:1', { code: 'ECONNREFUSED', errno: -111, syscall: 'connect' }],
    ['read ECONNRESET', { code: 'ECONNRESET', errno: -104, syscall: 'read' }],
    ['Connection terminated unexpectedly', {}],
  ])('tell of a lost connection: %s', (message, more) => {
    expect(isConnectionLoss(elsewhere(message, more))).toBe(true);
  });

  it('have their codes, and are known for what a server or a pool says', () => {
    expect(codeOf(elsewhere('no', { code: '42601' }))).toBe('42601');
    expect(isServerError(elsewhere('no', { severity: 'ERROR' }))).toBe(true);
    expect(isPoolTimeout(elsewhere('timeout exceeded when trying to connect'))).toBe(true);
  });
});
