import { describe, expect, it } from 'vitest';
import type { TopologyEvent } from '../../../src/events.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { Leadership } from '../../../src/nodes/leadership.js';
import type { Node } from '../../../src/nodes/node.js';
import { Publisher } from '../../../src/publisher.js';

interface Says {
  readonly takesWrites?: boolean;
  readonly timeline?: number;
  readonly lsn?: bigint;
  readonly forkLsn?: bigint;
  /** Which life of which server it is. */
  readonly server?: string;
  readonly clusterId?: string;
}

/** A server that has not been asked yet. */
function playedNode(name: string, role: 'primary' | 'replica' = 'replica') {
  const log: string[] = [];
  return {
    name,
    role,
    log,
    observation: undefined as object | undefined,
    health: {
      hasAnswered: false,
      isCrowded: false,
      answeredSince: undefined as number | undefined,
      lastError: undefined as unknown,
      assess: () => undefined,
    },
    position: {
      past: { followedLsn: undefined, followedTimeline: 0 },
      compare: (_: number, lsn: bigint) => void log.push(`compared with ${lsn}`),
    },
    probe: { wasAsked: false },
    claim: {
      doubt: undefined,
      needsConfirmation: false,
      isConfirmed: true,
      confirm: () => void log.push('asked twice'),
    },
    connections: { abandon: () => void log.push('abandoned') },
  };
}

type Played = ReturnType<typeof playedNode>;
const as = (nodes: readonly Played[]) => nodes as unknown as readonly Node[];

/** Servers of a cluster, of which the first one is called the primary, and what was told of them. */
function aLeadership(names: readonly string[], over: object = {}) {
  const nodes = names.map((name, i) => playedNode(name, i === 0 ? 'primary' : 'replica'));
  const history = new PrimaryHistory();
  const publisher = new Publisher('shop');
  const told: TopologyEvent[] = [];
  publisher.emitter.on('topology', (event) => told.push(event));
  const settings = { hangMillis: 1_000, onTwoPrimaries: 'highestTimeline', discovery: undefined, ...over };
  const leadership = new Leadership(as(nodes), history, settings as never, publisher);
  let clock = performance.now();
  /** @returns whether everybody is to be asked now */
  const hear = (node: Played | undefined, says: Says = {}): boolean => {
    if (node === undefined) throw new Error('there is no such server');
    const { takesWrites = false, timeline = 1, lsn = 100n, forkLsn, server = node.name, clusterId = '7' } = says;
    const sentAt = clock++;
    const identity = { clusterId, startedAt: server, server: `${clusterId}@${server}`, isDirect: true };
    node.observation = { identity, sentAt, inRecovery: !takesWrites, lsn, timeline, forkLsn };
    node.probe.wasAsked = true;
    node.health.hasAnswered = true;
    node.health.answeredSince ??= sentAt;
    return leadership.heard(node as unknown as Node);
  };
  const lose = (node: Played | undefined): boolean => {
    if (node === undefined) throw new Error('there is no such server');
    node.observation = undefined;
    node.probe.wasAsked = true;
    return leadership.lost(node as unknown as Node);
  };
  const changes = () => told.map(({ change, primary, previous }) => [change, primary, previous]);
  return { leadership, nodes, history, hear, lose, changes };
}

describe('who takes writes', () => {
  it('is the first guess until all were asked, and then what the servers say', () => {
    const { leadership, nodes, hear, changes } = aLeadership(['a', 'b', 'c']);
    const [a, b, c] = nodes;
    expect([leadership.primary.name, leadership.isSettled, leadership.canTry]).toEqual(['a', false, false]);
    hear(a);
    hear(b, { takesWrites: true });
    expect([leadership.primary.name, leadership.isSettled]).toEqual(['a', false]);
    expect(hear(c)).toBe(true);
    expect([leadership.primary.name, leadership.isSettled, leadership.vacancy]).toEqual(['b', true, undefined]);
    expect(leadership.replicas.map(({ name }) => name)).toEqual(['a', 'c']);
    expect([a?.role, b?.role]).toEqual(['replica', 'primary']);
    expect(changes()).toEqual([['found', 'b', 'a']]);
    // It was a guess: nothing was sent there that would have to be cut off.
    expect(a?.log).not.toContain('abandoned');
  });

  it('is told once, however often the servers say it again', () => {
    const { nodes, hear, changes } = aLeadership(['a', 'b']);
    hear(nodes[0], { takesWrites: true });
    hear(nodes[1]);
    for (let i = 0; i < 3; i++) expect([hear(nodes[0], { takesWrites: true }), hear(nodes[1])]).toEqual([false, false]);
    expect(changes()).toEqual([['found', 'a', undefined]]);
  });

  it('is another one after a promotion, which cuts off what goes on at the one before', () => {
    const { leadership, nodes, hear, lose, history, changes } = aLeadership(['a', 'b', 'c']);
    const [a, b, c] = nodes;
    hear(a, { takesWrites: true, lsn: 500n });
    hear(b);
    hear(c);
    expect(lose(a)).toBe(true);
    expect([leadership.isSettled, leadership.vacancy?.code, leadership.canTry]).toEqual([
      false,
      'LADDER_NO_PRIMARY',
      false,
    ]);
    expect(hear(b, { takesWrites: true, timeline: 2, lsn: 600n, forkLsn: 500n })).toBe(true);
    expect([leadership.primary.name, leadership.isSettled]).toEqual(['b', true]);
    expect([history.timelines.timeline, history.highest, history.position?.lsn]).toEqual([2, 600n, 600n]);
    expect(a?.log).toContain('abandoned');
    expect(changes()).toEqual([
      ['found', 'a', undefined],
      ['vacant', undefined, 'a'],
      ['promotion', 'b', 'a'],
    ]);
    // The old one comes back, on the timeline that was left.
    hear(a, { takesWrites: true, lsn: 900n });
    expect([leadership.primary.name, history.highest]).toEqual(['b', 600n]);
  });

  it('is not cut off where it has become a replica by itself', () => {
    const { nodes, hear } = aLeadership(['a', 'b']);
    const [a, b] = nodes;
    hear(a, { takesWrites: true });
    hear(b);
    hear(a);
    hear(b, { takesWrites: true, timeline: 2, forkLsn: 100n });
    expect([a?.role, a?.log.includes('abandoned')]).toEqual(['replica', false]);
  });

  it('has returned when the same server answers again, also at another address', () => {
    const { leadership, nodes, hear, lose, changes } = aLeadership(['a', 'b']);
    const [a, b] = nodes;
    hear(a, { takesWrites: true, server: 'x' });
    hear(b);
    lose(a);
    hear(a, { takesWrites: true, server: 'x' });
    lose(a);
    hear(b, { takesWrites: true, server: 'x' });
    expect(leadership.primary.name).toBe('b');
    expect(changes().map(([change]) => change)).toEqual(['found', 'vacant', 'returned', 'vacant', 'returned']);
  });

  it('cannot be told while two take writes on one timeline: nothing is sent, and the error names both', () => {
    const { leadership, nodes, hear, lose, changes } = aLeadership(['a', 'b', 'c']);
    const [a, b, c] = nodes;
    hear(a, { takesWrites: true });
    hear(b);
    hear(c);
    hear(b, { takesWrites: true });
    expect([leadership.isContested, leadership.isSettled, leadership.canTry]).toEqual([true, false, false]);
    expect(leadership.vacancy).toMatchObject({
      code: 'LADDER_TWO_PRIMARIES',
      message: expect.stringContaining('"a" and "b"'),
    });
    lose(b);
    expect([leadership.isContested, leadership.primary.name, leadership.isSettled]).toEqual([false, 'a', true]);
    expect(changes().map(([change]) => change)).toEqual(['found', 'contested', 'returned']);
  });

  it('may be tried while it could not be asked, since only a try says what is wrong, or is merely full', () => {
    const { leadership, nodes, hear, lose } = aLeadership(['a', 'b']);
    const [a, b] = nodes;
    hear(b);
    lose(a);
    expect([leadership.isSettled, leadership.canTry]).toEqual([false, true]);
    hear(a, { takesWrites: true });
    lose(a);
    expect(leadership.canTry).toBe(false);
    Object.assign(a?.health ?? {}, { isCrowded: true });
    expect(leadership.canTry).toBe(true);
  });

  it('is asked twice before it takes the place of another one', () => {
    const { leadership, nodes, hear } = aLeadership(['a', 'b']);
    const [a, b] = nodes;
    hear(a, { takesWrites: true });
    hear(b);
    Object.assign(b?.claim ?? {}, { isConfirmed: false });
    const claim: Says = { takesWrites: true, timeline: 2, forkLsn: 100n };
    hear(b, claim);
    expect([leadership.primary.name, b?.log]).toEqual(['a', ['compared with 100', 'asked twice']]);
    Object.assign(b?.claim ?? {}, { isConfirmed: true });
    hear(b, claim);
    expect(leadership.primary.name).toBe('b');
  });
});

describe('servers that are found', () => {
  it('are waited for before any is the primary, but not for ever', () => {
    const { leadership, nodes, hear } = aLeadership(['a'], { discovery: () => [] });
    hear(nodes[0], { takesWrites: true });
    expect(leadership.isSettled).toBe(false);
    leadership.convene(as(nodes));
    expect(leadership.isSettled).toBe(true);
    const late = aLeadership(['a'], { discovery: () => [], hangMillis: -1 });
    late.hear(late.nodes[0], { takesWrites: true });
    expect(late.leadership.isSettled).toBe(true);
  });

  it('leave a primary that is not among them any more the last one, which takes nothing', () => {
    const { leadership, nodes, hear } = aLeadership(['a', 'b']);
    const [a, b] = nodes;
    hear(a, { takesWrites: true });
    hear(b);
    leadership.convene(as([b as Played]));
    expect([leadership.primary.name, leadership.isSettled]).toEqual(['a', false]);
    expect(leadership.replicas.map(({ name }) => name)).toEqual(['b']);
    const joined = playedNode('c');
    leadership.convene(as([b as Played, joined]));
    hear(joined, { takesWrites: true, timeline: 2, forkLsn: 100n });
    expect([leadership.primary.name, leadership.replicas.map(({ name }) => name)]).toEqual(['c', ['b']]);
  });
});

describe('the history', () => {
  it('is fed by the primary alone, and replicas are compared with each of its answers', () => {
    const { nodes, hear, history } = aLeadership(['a', 'b']);
    const [a, b] = nodes;
    hear(a, { takesWrites: true, lsn: 100n });
    hear(b, { lsn: 90n });
    hear(a, { takesWrites: true, lsn: 200n });
    hear(b, { lsn: 1_000n });
    expect([history.highest, b?.log]).toEqual([200n, ['compared with 100', 'compared with 200']]);
  });

  it('knows since when everybody has answered, and forgets it when one is lost', () => {
    const { nodes, hear, lose, history } = aLeadership(['a', 'b']);
    const [a, b] = nodes;
    hear(a, { takesWrites: true });
    expect(history.survey.sentAt).toBe(Number.NEGATIVE_INFINITY);
    hear(b);
    const sentAt = history.survey.sentAt;
    expect(a?.observation).toMatchObject({ sentAt });
    hear(a, { takesWrites: true });
    expect(history.survey.sentAt).toBe(sentAt + 1);
    expect(lose(b)).toBe(false);
    expect(history.survey.sentAt).toBe(Number.NEGATIVE_INFINITY);
  });

  it('of changes is kept for stats(), the latest hundred', () => {
    const { leadership, nodes, hear, lose } = aLeadership(['a']);
    const [a] = nodes;
    for (let i = 0; i < 60; i++) {
      hear(a, { takesWrites: true });
      lose(a);
    }
    expect(leadership.changes.length).toBe(100);
    expect(leadership.changes.at(-1)?.change).toBe('vacant');
  });
});
