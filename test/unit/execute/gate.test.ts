import { describe, expect, it } from 'vitest';
import { Gate } from '../../../src/execute/gate.js';

const gate = () => new Gate({ used: () => undefined } as never, { name: 'shop', calls: { last: 0 } });

describe('the door of a cluster', () => {
  it('gives each call a number, and counts it until it is over, however that ends', async () => {
    const door = gate();
    const ids: number[] = [];
    const running = door.run(async ({ id }) => ids.push(id));
    expect(door.count).toBe(1);
    await running;
    await expect(door.run(({ id }) => Promise.reject(new Error(`no ${ids.push(id)}`)))).rejects.toThrow('no 2');
    const throwing = () => {
      throw new Error('at once');
    };
    await expect(door.run(throwing)).rejects.toThrow('at once');
    expect([ids, door.count]).toEqual([[1, 2], 0]);
  });

  it('lets nobody in once it is closed, and is closed when the last call is over', async () => {
    const door = gate();
    let finish = (): void => undefined;
    const last = door.run(() => new Promise<void>((resolve) => (finish = resolve)));
    let isEmpty = false;
    const closing = door.close().then(() => (isEmpty = true));
    await expect(door.run(async () => 'late')).rejects.toMatchObject({ code: 'LADDER_CLOSED' });
    expect(() => door.enter()).toThrow('closed');
    expect([isEmpty, door.count]).toEqual([false, 1]);
    finish();
    await last;
    await closing;
    await gate().close();
  });

  it('lets statements of clients pass that were handed out before: their pool is waited for', () => {
    const door = gate();
    void door.close();
    expect([door.pass().id, door.count]).toEqual([1, 0]);
  });

  it('hands on what its caller gave up with, untouched', async () => {
    const reason = Object.freeze(new Error('mine'));
    const { stack } = reason;
    const signal = AbortSignal.abort(reason);
    const given = await gate()
      .run(() => Promise.reject(reason), signal)
      .catch((error: unknown) => error);
    expect([given, (given as Error).stack]).toEqual([reason, stack]);
  });
});
