/** A question behind a statement, on pg's own client over a socket that is played. */
import { Duplex } from 'node:stream';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PositionRider } from '../../../src/postgres/position-rider.js';
import { submitQuery } from '../../../src/postgres/submit.js';
import { failure, message, ready, row } from '../../behaviour/wire-messages.js';

// The library takes its clock where nobody plays with it.
vi.mock('../../../src/clock.js', () => import('../../played-clock.js'));

const UPDATED = Buffer.concat([message('1'), message('2'), message('n'), message('C', Buffer.from('UPDATE 1\0'))]);
const located = (lsn: string) => Buffer.concat([message('2'), row([lsn]), message('C', Buffer.from('SELECT 1\0'))]);

/** Takes what pg writes, and gives it what the test says. */
class PlayedSocket extends Duplex {
  /** In one piece what has come in one piece. */
  readonly pieces: string[] = [];

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.pieces.push(typesIn(chunk));
    done();
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.pieces.push(typesIn(Buffer.concat(chunks.map(({ chunk }) => chunk))));
    done();
  }

  setNoDelay(): void {}

  connect(): void {
    setTimeout(() => this.emit('connect'));
  }
}

/** The types of the messages: P(arse), B(ind), D(escribe), E(xecute), S(ync), C(lose). */
function typesIn(bytes: Buffer): string {
  let types = '';
  for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1))
    types += bytes.toString('latin1', at, at + 1);
  return types;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function played(options: object = {}) {
  const socket = new PlayedSocket();
  const client = new pg.Client({ stream: socket as never, ...options });
  client.on('error', () => undefined);
  const connecting = client.connect();
  setTimeout(() => socket.push(Buffer.concat([message('R', Buffer.alloc(4)), ready])));
  await connecting;
  socket.pieces.length = 0;
  const rider = PositionRider.of(client, false);
  const told: unknown[] = [];
  /** A write, and its question. */
  const write = (values: unknown[] = [1], text: string | object = 'update t set v = $1'): void => {
    rider?.behind(() =>
      submitQuery(client, text, values, (error: Error | null) =>
        rider.follow((lsn) => told.push([error?.message, lsn])),
      ),
    );
  };
  const answer = async (...bytes: Buffer[]): Promise<void> => {
    socket.push(Buffer.concat(bytes));
    await turn();
  };
  return { socket, client, rider, told, write, answer };
}

describe('a question that rides behind a statement', () => {
  it('goes out behind its bytes, in one piece, and is told with its answer', async () => {
    const { socket, told, write, answer } = await played();
    write();
    expect(socket.pieces).toEqual(['PBDESCPBES']);
    await answer(UPDATED, ready);
    expect(told).toEqual([]);
    await answer(message('3'), message('1'), located('0/1A'), ready);
    expect(told).toEqual([[undefined, '0/1A']]);
    write();
    expect(socket.pieces[1]).toBe('PBDESBES');
    await answer(UPDATED, ready, located('0/1B'), ready);
    expect(told[1]).toEqual([undefined, '0/1B']);
  });

  it('is asked behind a statement that the server refuses, too', async () => {
    const { told, write, answer } = await played();
    write();
    await answer(failure('23505'), ready, message('3'), message('1'), located('0/1A'), ready);
    expect(told).toEqual([['no', '0/1A']]);
  });

  it('is not asked where the statement fails at once, nor where it waits for another', async () => {
    const { socket, client, told, write, answer } = await played();
    const throwing = {
      toPostgres(): string {
        throw new Error('no value');
      },
    };
    write([throwing]);
    expect(told).toEqual([['no value', undefined]]);
    expect(socket.pieces.join('')).toBe('PCS');
    await answer(message('1'), message('3'), ready);
    client.query('select 1', () => undefined);
    write();
    expect(socket.pieces.join('')).toBe('PCSQ');
    await answer(message('C', Buffer.from('SELECT 1\0')), ready);
    expect(socket.pieces.join('')).toBe('PCSQPBDES');
    await answer(UPDATED, ready);
    expect(told[1]).toEqual([undefined, undefined]);
    write([1], { name: 'one', text: 'select $1' });
    await answer(UPDATED, ready, message('3'), message('1'), located('0/1A'), ready);
    socket.pieces.length = 0;
    write([1], { name: 'one', text: 'select $1 + 1' });
    await turn();
    expect(socket.pieces).toEqual([]);
    expect(told[3]).toEqual([expect.stringContaining('must be unique'), undefined]);
  });

  it('is not asked on a connection that has ended', async () => {
    const { socket, told, write } = await played();
    socket.destroy();
    await turn();
    write();
    await turn();
    expect(socket.pieces).toEqual([]);
    expect(told).toEqual([['Client has encountered a connection error and is not queryable', undefined]]);
  });

  it('is closed and prepared again after an error, and over only when the server is ready', async () => {
    const { socket, told, write, answer } = await played();
    write();
    await answer(UPDATED, ready, message('3'), message('1'), located('0/1A'), ready);
    write();
    await answer(UPDATED, ready, failure('26000'));
    expect(told).toHaveLength(1);
    await answer(ready);
    expect(told[1]).toEqual([undefined, undefined]);
    write();
    expect(socket.pieces.at(-1)).toBe('PBDESCPBES');
  });

  it('is not asked any more where it was refused three times in a row', async () => {
    const { socket, write, answer } = await played();
    for (let i = 0; i < 3; i++) {
      write();
      await answer(UPDATED, ready, failure('42501'), ready);
    }
    expect(socket.pieces.at(-1)).toBe('PBDESCPBES');
    write();
    expect(socket.pieces.at(-1)).toBe('PBDES');
  });

  it('ends with the connection, and leaves the answer of the statement as it was', async () => {
    const { socket, told, write, answer } = await played();
    write();
    await answer(UPDATED, ready);
    socket.destroy();
    await turn();
    await turn();
    expect(told).toEqual([[undefined, undefined]]);
  });

  it('bears whatever a server answers to it', async () => {
    const { told, write, answer } = await played();
    const column = Buffer.from([0, 0]);
    write();
    await answer(UPDATED, ready, message('T', column), message('I'), message('s'), row([]), ready);
    expect(told).toEqual([[undefined, undefined]]);
  });

  it('rides on no client that pipelines, nor on one with a time limit for each query', async () => {
    expect((await played({ query_timeout: 100 })).rider).toBeUndefined();
    expect((await played({ pipeline: true })).rider).toBeUndefined();
    expect((await played({ query_timeout: undefined })).rider).toBeDefined();
  });

  it('has one name for one text: clusters may share a connection and ask for different things', async () => {
    const { client, socket } = await played();
    const written: Buffer[] = [];
    socket._writev = (chunks: { chunk: Buffer }[], done: () => void) => {
      written.push(...chunks.map(({ chunk }) => chunk));
      done();
    };
    for (const assumes of [false, true]) {
      PositionRider.of(client, assumes)?.behind(() => client.query('select $1', [1], () => undefined));
      socket.push(Buffer.concat([UPDATED, ready]));
      await turn();
    }
    const text = Buffer.concat(written).toString('latin1');
    const names = [...text.matchAll(/P....(pgladder_\w+)\0select pg_catalog\.concat\(pg_catalog\.(\w+)/gs)];
    expect(new Set(names.map(([, name]) => name)).size).toBe(2);
    expect(new Set(names.map(([, , asked]) => asked)).size).toBe(2);
  });

  it('holds the answer back from nobody where who has patched pg refuses the question', async () => {
    const { client, socket, told, write, answer } = await played();
    write();
    client.query = (() => {
      throw new Error('no text');
    }) as never;
    await answer(UPDATED, ready);
    expect(told).toEqual([[undefined, undefined]]);
    expect(socket.destroyed).toBe(true);
  });
});

describe('a question that is not answered', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('keeps the answer of its statement for a moment, and is not believed later', async () => {
    const playing = played();
    await vi.advanceTimersByTimeAsync(10);
    const { told, write, answer } = await playing;
    for (let round = 1; round <= 2; round++) {
      write();
      await answer(UPDATED, ready);
      await vi.advanceTimersByTimeAsync(250);
      expect(told).toHaveLength(round - 1);
      await vi.advanceTimersByTimeAsync(100);
      await turn();
      expect(told).toHaveLength(round);
      expect(told[round - 1]).toEqual([undefined, undefined]);
      await answer(message('3'), message('1'), located('0/1A'), ready);
      expect(told).toHaveLength(round);
    }
  });
});
