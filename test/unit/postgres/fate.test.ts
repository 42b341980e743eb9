import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isConnectionLoss, verdictOf } from '../../../src/postgres/errors.js';
import { fateOf } from '../../../src/postgres/fate.js';

// The library takes its clock where nobody plays with it.
vi.mock('../../../src/clock.js', () => import('../../played-clock.js'));

/** What pg makes of a server's ErrorResponse. */
function told(
  code: string,
  severity: string,
  by: object = { file: 'postgres.c', routine: 'ProcessInterrupts' },
): Error {
  return Object.assign(new Error('told'), { name: 'error', code, severity, ...by });
}

const system = (code: string, more: object): Error => Object.assign(new Error(code), { code, ...more });

describe('what became of a connection under a statement that failed', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  class Client {
    readonly connection = new EventEmitter();
    readyForQuery = false;
    _queryable = true;
  }

  function fate(error: Error): { readonly client: Client; readonly isLost: () => boolean | undefined } {
    const client = new Client();
    let isLost: boolean | undefined;
    fateOf({ client }, error, (answer) => {
      isLost = answer;
    });
    return { client, isLost: () => isLost };
  }

  // English, German, French, Russian and Polish; pg hands on the server's language.
  it.each(['ERROR', 'FEHLER', 'ERREUR', 'ОШИБКА', 'BŁĄD', 'FATAL', 'ВАЖНО', 'KATASTROFALNY'])(
    'is told by what follows, and not by its severity %s',
    (severity) => {
      for (const code of ['57P01', '08006', '08P01', '25P03']) {
        const living = fate(told(code, severity));
        expect(living.isLost()).toBeUndefined();
        living.client.connection.emit('readyForQuery', { status: 'I' });
        expect(living.isLost()).toBe(false);
        const ended = fate(told(code, severity));
        ended.client.connection.emit('end');
        expect(ended.isLost()).toBe(true);
        const reset = fate(told(code, severity));
        reset.client.connection.emit('error', system('ECONNRESET', { errno: -104, syscall: 'read' }));
        expect(reset.isLost()).toBe(true);
        for (const { client } of [living, ended, reset]) expect(client.connection.eventNames()).toEqual([]);
      }
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it('is a loss when the server says nothing more for a second', async () => {
    const { isLost } = fate(told('57P01', 'ERROR'));
    await vi.advanceTimersByTimeAsync(900);
    expect(isLost()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(200);
    expect(isLost()).toBe(true);
  });

  it('needs no wait where the error says it all', () => {
    expect(fate(told('23505', 'ERROR')).isLost()).toBe(false);
    expect(fate(told('EMAIL', 'ERROR')).isLost()).toBe(false);
    expect(fate(new Error('Query read timeout')).isLost()).toBe(true);
    expect(fate(told('P0001', 'ERROR', { message: 'Query read timeout' })).isLost()).toBe(false);
    expect(fate(system('ENOENT', { errno: -2, syscall: 'open' })).isLost()).toBe(false);
  });

  it('is a loss where pg takes no more statements, whatever the error', () => {
    const client = Object.assign(new Client(), { _queryable: false });
    let isLost: boolean | undefined;
    fateOf({ client }, new TypeError('a parser of rows'), (answer) => {
      isLost = answer;
    });
    expect(isLost).toBe(true);
  });

  it('is no loss where pg stumbles over a statement, whose connection is ended then', () => {
    const client = Object.assign(new Client(), { _ending: true });
    const fates: boolean[] = [];
    fateOf({ client }, new TypeError('a value'), (isLost) => fates.push(isLost));
    fateOf({ client }, new Error('Connection terminated'), (isLost) => fates.push(isLost));
    expect(fates).toEqual([false, true]);
  });

  it('is a loss where a pooler says so, which names no file and no routine, or its own', () => {
    expect(verdictOf(told('08P01', 'FATAL', {}))).toBe('lost');
    expect(verdictOf(told('57P01', 'ERROR', {}))).toBe('lost');
    expect(verdictOf(told('XX000', 'FATAL', {}))).toBe('lost');
    expect(verdictOf(told('XX000', 'ERROR', { file: 'pool_stream.c' }))).toBe('lost');
    expect(verdictOf(told('XX000', 'ERROR', { file: 'elog.c', routine: 'elog_finish' }))).toBe('open');
  });

  it('knows Node’s own errors by what they are, and not by their first letter', () => {
    for (const error of [
      system('ECONNRESET', { errno: -104, syscall: 'read' }),
      system('ENOTFOUND', { errno: -3008, syscall: 'getaddrinfo' }),
      system('ECONNRESET', {}),
      system('EPIPE', {}),
      system('ETIMEDOUT', { errors: [] }),
      system('ERR_STREAM_DESTROYED', {}),
      system('ERR_SSL_WRONG_VERSION_NUMBER', {}),
    ]) {
      expect(isConnectionLoss(error)).toBe(true);
    }
    for (const error of [
      told('EMAIL', 'ERROR'),
      told('EPIPE', 'ERROR'),
      system('EMAIL', {}),
      system('ERR_INVALID_ARG_TYPE', {}),
    ]) {
      expect(isConnectionLoss(error)).toBe(false);
    }
  });
});
