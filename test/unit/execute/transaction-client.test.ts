import { EventEmitter } from 'node:events';
import type { PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { Attempt } from '../../../src/execute/attempt.js';
import { Transaction } from '../../../src/execute/open-transaction.js';
import { routeOf } from '../../../src/execute/route.js';
import { transactionClient } from '../../../src/execute/transaction-client.js';
import { aRead, nodeOf, playedFleet } from './played-fleet.js';

class Own extends EventEmitter {
  readonly #secret = 'private';
  readonly asked: unknown[] = [];
  processID = 7;

  query(query: unknown, _values?: unknown, callback?: (error: null, result: object) => void): unknown {
    if (query === undefined) throw new TypeError('Client was passed a null or undefined query');
    this.asked.push(query);
    const result = { rowCount: 1 };
    if (typeof callback === 'function') {
      callback(null, result);
      return undefined;
    }
    return typeof query === 'object' && query !== null && 'submit' in query ? query : Promise.resolve(result);
  }

  release(): void {
    throw new Error('the pool has it back');
  }

  secret(): string {
    return this.#secret;
  }

  self(): this {
    return this;
  }
}

function handedOut() {
  const own = new Own();
  const { context, primary } = playedFleet([]);
  const attempt = new Attempt(aRead(context), nodeOf(primary), 'transaction');
  const transaction = new Transaction(attempt, {} as never, false);
  const out = transactionClient(attempt, { client: own } as never, transaction);
  return { own, out, client: out.client as PoolClient & Own, transaction };
}

const submittable = () => {
  const errors: unknown[] = [];
  return { submit: () => undefined, handleError: (error: unknown) => errors.push(error), errors };
};

describe('the client that a transaction hands out', () => {
  it("is pg's in all that can be told: class, fields, private ones, listeners", () => {
    const { client, own } = handedOut();
    expect(client).toBeInstanceOf(Own);
    expect([client.processID, client.secret(), client.constructor]).toEqual([7, 'private', Own]);
    expect(client.self()).toBe(client);
    expect(Reflect.get(client, 'self')).toBe(Reflect.get(client, 'self'));
    client.on('notice', () => undefined);
    client.processID = 8;
    expect([own.listenerCount('notice'), own.processID]).toEqual([1, 8]);
  });

  it('keeps what is put in front of its query to itself', async () => {
    const { client, own } = handedOut();
    client.query = (() => 'mine') as never;
    expect([(client.query as () => unknown)(), Object.hasOwn(own, 'query')]).toEqual(['mine', false]);
  });

  it('says on its answers who gave them, to promises and callbacks', async () => {
    const { client } = handedOut();
    const byPromise = await client.query('select 1');
    const byCallback = await new Promise<object>((resolve) => {
      client.query('select 1', undefined, ((_: unknown, result: object) => resolve(result)) as never);
    });
    const inConfig = await new Promise<object>((resolve) => {
      client.query({ text: 'select 1', callback: (_: unknown, result: object) => resolve(result) } as never);
    }).catch(() => undefined);
    for (const result of [byPromise, byCallback]) expect(routeOf(result as never)?.reason).toBe('transaction');
    expect(inConfig).toBeDefined();
  });

  it('hands a cursor on as it is, and leaves no listener behind', () => {
    const { client, own } = handedOut();
    const cursor = submittable();
    expect(client.query(cursor as never)).toBe(cursor);
    expect(own.asked).toEqual([cursor]);
    own.emit('drain');
    expect([own.listenerCount('drain'), own.listenerCount('end')]).toEqual([0, 0]);
  });

  it('runs nothing after the end, in whatever form it is asked', async () => {
    const { client, own, transaction } = handedOut();
    void transaction.end();
    const ended = { code: 'LADDER_TRANSACTION_ENDED' };
    await expect(client.query('select 1')).rejects.toMatchObject(ended);
    const called = new Promise((resolve) => client.query('select 1', undefined, resolve as never));
    expect(await called).toMatchObject(ended);
    const cursor = submittable();
    expect(client.query(cursor as never)).toBe(cursor);
    await new Promise((resolve) => process.nextTick(resolve));
    expect([cursor.errors, own.asked]).toMatchObject([[ended], []]);
  });

  it('is not released by its user, who may ask for its connection to be closed', () => {
    const { client, out } = handedOut();
    client.release();
    (client.release as (destroy: boolean) => void)(false);
    expect(out.isUnwanted).toBe(false);
    (client.release as (destroy: Error) => void)(new Error('broken'));
    expect(out.isUnwanted).toBe(true);
  });

  it("leaves to pg what is pg's to refuse", () => {
    const { client } = handedOut();
    expect(() => client.query(undefined as never)).toThrow(TypeError);
  });

  it('notes what may have ended the transaction', async () => {
    const { client, transaction } = handedOut();
    await client.query('rollback to a');
    expect(transaction.mayHaveEnded).toBe(false);
    await client.query({ text: '/* now */ commit' });
    expect(transaction.mayHaveEnded).toBe(true);
  });
});
