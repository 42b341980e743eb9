import { describe, expect, it } from 'vitest';
import { createCluster } from '../../src/index.js';
import { clientOf } from './client.js';
import { FakeServer } from './server.js';

describe('behind a pooler that exchanges the server under an open connection', () => {
  it('a write that a replica refuses runs on the primary instead, once, and the promotion is followed', async () => {
    const a = new FakeServer('a', undefined);
    const b = new FakeServer('b', a);
    await using cluster = createCluster({
      nodes: [a, b].map((server) => ({ name: server.name, Client: clientOf(server) as never })),
      probeMillis: 60_000,
      idleProbeMillis: 60_000,
      lane: false,
    });
    await cluster.write('write', [1]);
    b.replicate();
    // No connection breaks: the library cannot know.
    b.promote(2);
    a.upstream = b;
    await cluster.write('write', [2]);
    expect(b.log.map(({ id }) => id)).toEqual([1, 2]);
    expect(cluster.stats().nodes.map(({ name, role }) => [name, role])).toEqual([
      ['a', 'replica'],
      ['b', 'primary'],
    ]);
  });
});
