import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { wordFor } from '../../../src/errors.js';
import {
  codeOf,
  endedIdleTransaction,
  isConnectionLoss,
  isGone,
  isOnlyForPrimary,
  isPoolTimeout,
  isRecoveryConflict,
  isRefusal,
  verdictOf,
} from '../../../src/postgres/errors.js';

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

describe('an error of the server', () => {
  const said = (code: string, more: object = {}): Error =>
    Object.assign(new Error('so it is'), { code, severity: 'ERROR', file: 'x.c', routine: 'ExecX', ...more });
  const raised = (code: string): Error => said(code, { routine: 'exec_stmt_raise' });

  it.each(['EMAIL', 'EPIPE', 'ECONNRESET', '08P01', '42P01'])(
    'is no lost connection, whatever its code begins with: %s',
    (code) => {
      expect([verdictOf(said(code)) === 'lost', verdictOf(raised(code)) === 'lost']).toEqual([false, false]);
    },
  );

  it.each(['EMAIL', 'EPIPE', 'ECONNRESET'])('is the answer to its statement where a function raises %s', (code) => {
    expect([verdictOf(raised(code)), isConnectionLoss(raised(code)), isGone(raised(code))]).toEqual([
      'answered',
      false,
      false,
    ]);
  });

  it('is a conflict with replay by its code, unless a function has raised it', () => {
    expect([isRecoveryConflict(said('40001')), isRecoveryConflict(raised('40001'))]).toEqual([true, false]);
    expect(isRecoveryConflict(said('40P01'))).toBe(false);
  });

  it.each(['25006', '55000', '0A000', 'XX000'])('of a replica may be a refusal, in any language: %s', (code) => {
    expect(isRefusal(said(code, { message: 'während der Wiederherstellung' }))).toBe(true);
    expect(isRefusal(said('42P01'))).toBe(false);
  });

  it('says that only the primary can read something by two codes, unless it is about a session', () => {
    expect([isOnlyForPrimary(said('0A000')), isOnlyForPrimary(said('55000'))]).toEqual([true, true]);
    expect([isOnlyForPrimary(raised('0A000')), isOnlyForPrimary(said('25006'))]).toEqual([false, false]);
    expect(isOnlyForPrimary(said('55000', { routine: 'currval_oid' }))).toBe(false);
  });

  it('says that a transaction was ended while idle, and so has committed nothing', () => {
    expect(endedIdleTransaction(said('25P03', { severity: 'FATAL' }))).toBe(true);
    expect([endedIdleTransaction(raised('25P03')), endedIdleTransaction(said('57P01'))]).toEqual([false, false]);
  });
});
