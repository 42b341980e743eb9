import { describe, expect, it } from 'vitest';
import { waitUntilVisible } from '../../../src/execute/visibility.js';
import { aRead, type PlayedNode, playedFleet, playedNode } from './played-fleet.js';

interface Snapshot {
  readonly next: bigint;
  readonly unfinished: readonly string[];
}

/** A session that has read on a replica, and what either server shows. */
function reading(replica: Snapshot & { readonly committed?: readonly string[] }, ...primarys: readonly Snapshot[]) {
  const asked = { count: 0 };
  const shows = (node: PlayedNode, adminQueries: object) => Object.assign(node, { adminQueries });
  const own = shows(playedNode('r1', 100n), {
    snapshot: async () => replica,
    committedAmong: async (xids: readonly string[]) => xids.filter((xid) => replica.committed?.includes(xid)),
  });
  const { context, primary } = playedFleet([own], { settings: { waitMillis: 60_000 } });
  shows(primary, { snapshot: async () => primarys[Math.min(asked.count++, primarys.length - 1)] });
  const request = aRead(context, { readOn: 'r1' });
  return { request, asked, context };
}

describe('before a session that has read on a replica reads on the primary', () => {
  it('the primary must show as late a transaction', async () => {
    const before = { next: 9n, unfinished: [] };
    const { request, asked } = reading({ next: 10n, unfinished: [] }, before, before, { next: 10n, unfinished: [] });
    await waitUntilVisible(request);
    expect([asked.count, request.trace?.readOn]).toEqual([3, []]);
  });

  it('the primary must have finished what the replica shows as committed, and nothing else', async () => {
    const running = { next: 10n, unfinished: ['7', '8'] };
    const replica = { next: 10n, unfinished: ['8'], committed: ['7'] };
    const { request, asked } = reading(replica, running, running, { next: 10n, unfinished: ['8'] });
    await waitUntilVisible(request);
    expect(asked.count).toBe(3);
  });

  it('nobody is asked a second time while it has not read again', async () => {
    const { request, asked } = reading({ next: 10n, unfinished: [] }, { next: 10n, unfinished: [] });
    await waitUntilVisible(request);
    await waitUntilVisible(request);
    expect(asked.count).toBe(1);
  });

  it('nobody is asked for one that has not read, nor for an eventual read', async () => {
    const { context, asked } = reading({ next: 10n, unfinished: [] });
    await waitUntilVisible(aRead(context));
    await waitUntilVisible(aRead(context, { readOn: 'r1', consistency: 'eventual' }));
    expect(asked.count).toBe(0);
  });
});
