import { describe, expect, it } from 'vitest';
import { CheckoutQueue } from '../../../src/nodes/checkout-queue.js';
import type { DataConnection } from '../../../src/nodes/data-connection.js';
import { WaitCancelled } from '../../../src/postgres/errors.js';

type Connected = (error: Error | undefined, client: object | undefined) => void;

/** A pool whose connections are known, and those of them that may be dead or are. */
function aQueue(names: readonly string[], over: { suspects?: readonly string[]; dead?: readonly string[] } = {}) {
  const { suspects = [], dead = [] } = over;
  const log: string[] = [];
  const known = new Map<object, DataConnection>();
  const idle = names.map((name) => {
    const client = { release: (isBroken?: boolean) => log.push(`${name} ${isBroken ? 'closed' : 'released'}`), name };
    known.set(client, { client } as unknown as DataConnection);
    return client;
  });
  const asked: Connected[] = [];
  const pool = {
    idleCount: 0,
    totalCount: 1,
    options: { max: 1 },
    connect: (connected: Connected) => {
      const client = idle.shift();
      if (client === undefined) asked.push(connected);
      else connected(undefined, client);
    },
  };
  const isSuspect = (client: object) => suspects.includes((client as { name: string }).name);
  const suspicions = {
    has: isSuspect,
    prove: async ({ client }: DataConnection) => {
      const { name } = client as unknown as { name: string };
      log.push(`${name} tried`);
      if (dead.includes(name)) throw new Error('no answer');
    },
  };
  const queue = new CheckoutQueue(pool as never, known as never, suspicions as never);
  /** Takes one. @returns its name, or the error */
  const take = (mayWrite: boolean) =>
    new Promise<unknown>((resolve) => {
      queue.checkout(mayWrite, (error, connection) =>
        resolve((connection?.client as { name?: string } | undefined)?.name ?? error),
      );
    });
  return { queue, take, log, asked, known, pool };
}

describe('a connection that may be dead', () => {
  it('is tried before a write goes out on it, and replaced where it is dead; a read takes it as it is', async () => {
    const over = { suspects: ['a', 'b', 'c'], dead: ['b'] };
    const { take, log } = aQueue(['a', 'b', 'c'], over);
    expect(await take(true)).toBe('a');
    expect(log).toEqual(['a tried']);
    expect(await take(true)).toBe('c');
    expect(log).toEqual(['a tried', 'b tried', 'c tried']);
    const { take: read, log: untried } = aQueue(['a'], over);
    expect([await read(false), untried]).toEqual(['a', []]);
  });

  it('is not tried where nothing speaks against it', async () => {
    const { take, log } = aQueue(['a']);
    expect([await take(true), log]).toEqual(['a', []]);
  });
});

describe('a connection that its server refuses, or that is set up for a standby', () => {
  it('is closed, and another one taken', async () => {
    const { take, log, known } = aQueue(['a', 'b', 'c']);
    const [refusing, relaxed] = [...known.values()];
    Object.assign(refusing as object, { isRefusing: true });
    Object.assign(relaxed as object, { isRelaxed: true });
    expect([await take(true), log]).toEqual(['c', ['a closed', 'b closed']]);
  });
});

describe('those who wait for a connection', () => {
  it('are sent away with the reason, and what comes for them later goes back', async () => {
    const { queue, take, asked, known, log } = aQueue([]);
    const [first, second] = [take(true), take(false)];
    const reason = new WaitCancelled('it hangs');
    queue.sendAway(reason);
    expect(await Promise.all([first, second])).toEqual([reason, reason]);
    const client = { release: () => log.push('released') };
    known.set(client, { client } as unknown as DataConnection);
    asked[0]?.(undefined, client);
    asked[1]?.(new Error('timeout'), undefined);
    expect(log).toEqual(['released']);
  });

  it('get the error of the pool', async () => {
    const { take, asked } = aQueue([]);
    const waiting = take(false);
    const error = new Error('the pool is ended');
    asked[0]?.(error, undefined);
    expect(await waiting).toBe(error);
  });

  it('make the pool stand still when nobody is served for a while', async () => {
    const { queue, take, asked, pool } = aQueue([]);
    const now = performance.now() + 1_000;
    queue.checkStall(now);
    expect(queue.isStalled).toBe(true);
    const waiting = take(false);
    asked[0]?.(new Error('served'), undefined);
    await waiting;
    queue.checkStall(now + 1_000);
    expect(queue.isStalled).toBe(false);
    queue.checkStall(now + 1_099);
    expect(queue.isStalled).toBe(false);
    queue.checkStall(now + 1_100);
    expect(queue.isStalled).toBe(true);
    pool.idleCount = 1;
    queue.checkStall(now + 1_200);
    expect(queue.isStalled).toBe(false);
  });
});
