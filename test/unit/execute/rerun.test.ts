import { describe, expect, it } from 'vitest';
import { lostAgain } from '../../../src/execute/rerun.js';

const HANG_MILLIS = 20;
const loss = Object.assign(new Error('Connection terminated unexpectedly'));
const fleet = { settings: { hangMillis: HANG_MILLIS } } as never;

/** A replica that does not say whether it lives. */
const silentNode = () => ({
  role: 'replica',
  observe: async () => {},
  failed() {},
  refresh: () => new Promise(() => {}),
});

function lostAt(node: object, how: { wasGivenUp?: boolean } = {}) {
  const connection = { isLost: true, wasGivenUp: false, wasAbandoned: false, identity: { server: '1@1' }, ...how };
  return { node, connection } as never;
}

describe('a read that was lost under way', () => {
  it('is run once more, and no third time while the second server does not say whether it lives', async () => {
    const [first, second] = [silentNode(), silentNode()];
    const once = await lostAgain(fleet, lostAt(first), loss, undefined, undefined);
    expect(once).toEqual(new Set([first]));
    expect(await lostAgain(fleet, lostAt(second), loss, once, undefined)).toBeUndefined();
  });

  it('has not been lost yet when the library itself gave a silent connection up', async () => {
    const [first, second] = [silentNode(), silentNode()];
    const none = await lostAgain(fleet, lostAt(first, { wasGivenUp: true }), loss, undefined, undefined);
    expect(none).toEqual(new Set());
    expect(await lostAgain(fleet, lostAt(second), loss, none, undefined)).toEqual(new Set([second]));
  });

  it('is not run again on a server that it has been lost on, nor for a caller who has given up', async () => {
    const node = silentNode();
    expect(await lostAgain(fleet, lostAt(node), loss, new Set([node]) as never, undefined)).toBeUndefined();
    expect(await lostAgain(fleet, lostAt(node), loss, undefined, AbortSignal.abort())).toBeUndefined();
  });
});
