import { describe, expect, it } from 'vitest';
import { lostAgain } from '../../../src/execute/rerun.js';
import { RetryBudget } from '../../../src/isolation/retry-budget.js';
import { Publisher } from '../../../src/publisher.js';

const HANG_MILLIS = 20;
const loss = new Error('Connection terminated unexpectedly');
const fleet = { settings: { hangMillis: HANG_MILLIS } } as never;

/** A replica of which nobody can tell whether it has been restarted: it says that it is starting. */
const startingNode = () => ({
  role: 'replica',
  health: { failed: () => undefined },
  probe: {
    observe: async () => undefined,
    refresh: () => Promise.reject(Object.assign(new Error('starting up'), { code: '57P03' })),
  },
});

/** A request under which nothing was lost yet. */
const aRequest = (signal?: AbortSignal, budget = { share: 0.2, perSecond: 10 }) => ({
  context: { fleet, retries: new RetryBudget(budget, new Publisher('shop')) },
  signal,
  lostOn: undefined as unknown,
  rerunCount: 0,
});

/** Whether it is run once more after its connection to that node was lost. */
function isRunAgain(request: object, node: object, how: { wasGivenUp?: boolean } = {}): Promise<boolean> {
  const connection = { isLost: true, wasGivenUp: false, wasAbandoned: false, identity: { server: '1@1' }, ...how };
  return lostAgain({ request, node } as never, connection as never, loss);
}

describe('a read that was lost under way', () => {
  it('is run once more, and no third time while the second server is starting', async () => {
    const [first, second] = [startingNode(), startingNode()];
    const request = aRequest();
    expect(await isRunAgain(request, first)).toBe(true);
    expect(request).toMatchObject({ lostOn: new Set([first]), rerunCount: 1 });
    expect(await isRunAgain(request, second)).toBe(false);
  });

  it('has not been lost yet when the library itself gave a silent connection up', async () => {
    const [first, second] = [startingNode(), startingNode()];
    const request = aRequest();
    expect(await isRunAgain(request, first, { wasGivenUp: true })).toBe(true);
    expect(request.lostOn).toEqual(new Set());
    expect(await isRunAgain(request, second)).toBe(true);
    expect(request).toMatchObject({ lostOn: new Set([second]), rerunCount: 2 });
  });

  it('is run once more after a conflict with recovery, and no second time on one replica', async () => {
    const node = startingNode();
    const request = aRequest();
    const conflict = Object.assign(new Error('conflict with recovery'), { code: '40001', severity: 'ERROR' });
    const isRun = () => lostAgain({ request, node } as never, { isLost: false } as never, conflict);
    expect([await isRun(), await isRun()]).toEqual([true, false]);
  });

  it('is run once more where a replica refuses it, since it would be SERIALIZABLE, and no second time there', async () => {
    const node = startingNode();
    const request = aRequest();
    const refusal = Object.assign(new Error('cannot use serializable mode in a hot standby'), {
      code: '0A000',
      severity: 'ERROR',
      routine: 'GetSerializableTransactionSnapshot',
    });
    const isRun = () => lostAgain({ request, node } as never, { isLost: false } as never, refusal);
    expect([await isRun(), await isRun()]).toEqual([true, false]);
    expect(request).toMatchObject({ lostOn: new Set([node]), rerunCount: 1 });
    // The primary's own word is final.
    expect(
      await lostAgain(
        { request: aRequest(), node: { ...node, role: 'primary' } } as never,
        { isLost: false } as never,
        refusal,
      ),
    ).toBe(false);
  });

  it('is not run again while the budget for that is empty: its error says so', async () => {
    const request = aRequest(undefined, { share: 0, perSecond: 0 });
    const own = new Error('Connection terminated unexpectedly');
    const connection = { isLost: true, wasGivenUp: false, wasAbandoned: false, identity: { server: '1@1' } };
    expect(await lostAgain({ request, node: startingNode() } as never, connection as never, own)).toBe(false);
    expect(own.message).toBe('Connection terminated unexpectedly (it was not run again: the retry budget is empty)');
    expect(request).toMatchObject({ lostOn: undefined, rerunCount: 0 });
    expect(request.context.retries.stats).toMatchObject({ drawnCount: 0, refusedCount: 1, retryBudgetEmpty: true });
  });

  it('is not run again on a server that it has been lost on, nor for a caller who has given up', async () => {
    const node = startingNode();
    const request = aRequest();
    request.lostOn = new Set([node]);
    expect(await isRunAgain(request, node)).toBe(false);
    expect(await isRunAgain(aRequest(AbortSignal.abort()), node)).toBe(false);
  });
});
