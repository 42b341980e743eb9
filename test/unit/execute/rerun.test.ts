import { describe, expect, it } from 'vitest';
import { lostAgain } from '../../../src/execute/rerun.js';

const HANG_MILLIS = 20;
const loss = new Error('Connection terminated unexpectedly');
const fleet = { settings: { hangMillis: HANG_MILLIS } } as never;

/** A replica of which nobody can tell whether it has been restarted: it says that it is starting. */
const startingNode = () => ({
  role: 'replica',
  observe: async () => undefined,
  failed: () => undefined,
  refresh: () => Promise.reject(Object.assign(new Error('starting up'), { code: '57P03' })),
});

function lostAt(node: object, how: { wasGivenUp?: boolean } = {}) {
  const connection = { isLost: true, wasGivenUp: false, wasAbandoned: false, identity: { server: '1@1' }, ...how };
  return { node, connection } as never;
}

describe('a read that was lost under way', () => {
  it('is run once more, and no third time while the second server is starting', async () => {
    const [first, second] = [startingNode(), startingNode()];
    const once = await lostAgain(fleet, lostAt(first), loss, undefined, undefined);
    expect(once).toEqual(new Set([first]));
    expect(await lostAgain(fleet, lostAt(second), loss, once, undefined)).toBeUndefined();
  });

  it('has not been lost yet when the library itself gave a silent connection up', async () => {
    const [first, second] = [startingNode(), startingNode()];
    const none = await lostAgain(fleet, lostAt(first, { wasGivenUp: true }), loss, undefined, undefined);
    expect(none).toEqual(new Set());
    expect(await lostAgain(fleet, lostAt(second), loss, none, undefined)).toEqual(new Set([second]));
  });

  it('is not run again on a server that it has been lost on, nor for a caller who has given up', async () => {
    const node = startingNode();
    expect(await lostAgain(fleet, lostAt(node), loss, new Set([node]) as never, undefined)).toBeUndefined();
    expect(await lostAgain(fleet, lostAt(node), loss, undefined, AbortSignal.abort())).toBeUndefined();
  });
});
