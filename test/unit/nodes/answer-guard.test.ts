import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { parse } from 'pg-protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { AnswerGuard } from '../../../src/nodes/answer-guard.js';
import { message } from '../../behaviour/wire-messages.js';

const whole = Buffer.concat([
  message(
    'T',
    Buffer.from(
      '\u0000\u0001a\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0019\u0000\u0019\u0000\u0000\u0000\u0000\u0000\u0000',
    ),
  ),
  message('D', Buffer.from('\u0000\u0001\u0000\u0000\u0000\u0001x')),
  message('C', Buffer.from('SELECT 1\u0000')),
  message('E', Buffer.from('SERROR\u0000C57P01\u0000Mno\u0000\u0000')),
  message('N', Buffer.from('\u0000')),
  message('Z', Buffer.from('I')),
]);

describe('what stands before pg’s parser', () => {
  let stream: PassThrough;
  let guard: AnswerGuard;
  let names: string[];
  let broke: Error | undefined;

  beforeEach(() => {
    stream = new PassThrough();
    guard = new AnswerGuard();
    names = [];
    broke = undefined;
    const connection = Object.assign(new EventEmitter(), { stream, ssl: false });
    guard.watch({ connection });
    void parse(stream, ({ name }) => void names.push(name)).catch(() => undefined);
    stream.on('error', (error) => {
      broke = error;
    });
    connection.emit('connect');
  });
  const arrive = async (...pieces: Buffer[]): Promise<void> => {
    for (const piece of pieces) {
      if (!stream.destroyed) stream.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  it('lets through what PostgreSQL sends, in whatever pieces that comes', async () => {
    const expected = ['rowDescription', 'dataRow', 'commandComplete', 'error', 'notice', 'readyForQuery'];
    for (const length of [1, 2, 3, 5, 7, 11, 40, 1_000]) {
      names.length = 0;
      const pieces = Array.from({ length: Math.ceil(whole.length / length) }, (_, i) =>
        // pg's parser moves things about in the memory that it is handed.
        Buffer.from(whole.subarray(i * length, (i + 1) * length)),
      );
      await arrive(...pieces);
      expect([length, ...names]).toEqual([length, ...expected]);
    }
    expect(broke).toBeUndefined();
  });

  it.each([
    ['an error without an end, on which the parser would never come to one', message('E', Buffer.from('SERROR'))],
    ['a notice without an end', message('N', Buffer.from('x'))],
    ['a length that is none', Buffer.from([68, 0, 0, 0, 0])],
    ['a message that is longer than any answer', Buffer.from('D\u007f\u007f\u007f\u007f')],
    ['a row of fewer values than it says', message('D', Buffer.from([0, 9]))],
    ['a row of less than no value', message('D', Buffer.from([255, 255]))],
    ['a way to log in that nobody knows', message('R', Buffer.from([0, 0, 0, 7]))],
  ])('ends the connection, and nothing else, for %s', async (_, bytes) => {
    await arrive(bytes, whole);
    expect(broke).toBeInstanceOf(Error);
    expect(names).toEqual([]);
  });

  it('lets nobody ask for a password once the connection stands: pg would throw where there is none', async () => {
    guard.asked();
    await arrive(message('R', Buffer.from([0, 0, 0, 3])), whole);
    expect(broke?.message).toContain('a password');
    expect(names).toEqual([]);
  });

  it('bounds what comes as the answer to one question, and counts anew for the next', async () => {
    const row = message('D', Buffer.concat([Buffer.from([0, 1, 0, 15, 255, 0]), Buffer.alloc(1_048_320)]));
    for (let i = 0; i < 6; i++) {
      guard.asked();
      await arrive(row);
    }
    expect(broke).toBeUndefined();
    await arrive(row, row, row, row);
    expect(broke?.message).toBe('its answer makes no sense: it is too long to be one');
  });
});
