import { describe, expect, it } from 'vitest';
import { readUnlessRefused } from '../../../src/execute/query.js';
import { aRead, playedFleet, playedNode } from './played-fleet.js';

const REFUSED = Object.assign(new Error('cannot execute INSERT in a read-only transaction'), {
  code: '25006',
  severity: 'ERROR',
  routine: 'PreventCommandIfReadOnly',
});

/** A statement that is taken for a read, and that the replica refuses. */
function refused(over: { isSingle?: boolean; error?: Error } = {}) {
  const replica = playedNode('r1', 100n);
  const { error = REFUSED, isSingle = true } = over;
  replica.client.query = ((_: unknown, __: unknown, called: (e: Error) => void) => called(error)) as never;
  const { context } = playedFleet([replica]);
  const statement = {
    query: 'select writes()',
    values: undefined,
    profile: undefined,
    introduce: undefined,
    tables: undefined,
  };
  const request = Object.assign(aRead(context), { statement });
  const misrouted: string[] = [];
  const runs: string[] = [];
  const running = readUnlessRefused(
    request,
    { found: { isSingle } as never, isVouched: false },
    { misrouted: (text: string) => misrouted.push(text) } as never,
    async () => {
      runs.push('primary');
      return { rowCount: 1 } as never;
    },
  );
  return { running, misrouted, runs, replica, request };
}

describe('a statement that was taken for a read', () => {
  it('runs once more on the primary where a replica refuses it, which is remembered', async () => {
    const { running, misrouted, runs, replica, request } = refused();
    expect(await running).toEqual({ rowCount: 1 });
    expect([runs, misrouted, request.rerunCount, replica.load.readCount]).toEqual([
      ['primary'],
      ['select writes()'],
      1,
      0,
    ]);
  });

  it('runs no second time where it is several statements', async () => {
    const { running, runs } = refused({ isSingle: false });
    await expect(running).rejects.toBe(REFUSED);
    expect(runs).toEqual([]);
  });

  it('fails with any other error of its own', async () => {
    const error = Object.assign(new Error('division by zero'), { code: '22012', severity: 'ERROR' });
    const { running, runs, misrouted } = refused({ error });
    await expect(running).rejects.toBe(error);
    expect([runs, misrouted]).toEqual([[], []]);
  });
});
