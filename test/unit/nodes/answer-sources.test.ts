import { describe, expect, it } from 'vitest';
import type { KnownSource } from '../../../src/nodes/answer-source.js';
import { AnswerSources, SourceTally } from '../../../src/nodes/answer-sources.js';

function found(server: string, values: Record<string, string>, parsers = ''): KnownSource {
  const settings = JSON.stringify(values);
  const source = { server, settings, types: { getTypeParser: () => undefined } };
  return { source, likeness: `${settings}${parsers}`, values: new Map(Object.entries(values)) };
}

function playedReplicas(...names: string[]) {
  const nodes = names.map((name) => ({
    name,
    connections: { sources: new SourceTally(() => sources.changed()) },
  }));
  let replicas = nodes;
  const sources: AnswerSources = new AnswerSources(() => replicas);
  const tallies = nodes.map(({ connections }) => connections.sources);
  const keep = (...at: number[]): void => {
    replicas = at.map((one) => nodes[one] as (typeof nodes)[0]);
  };
  return { sources, tallies: tallies as [SourceTally, SourceTally], keep };
}

const UTC = { role: 'app', TimeZone: 'UTC' };
const PARIS = { role: 'app', TimeZone: 'Europe/Paris' };

describe('what connections to replicas have in common', () => {
  it('is what one of them writes its answers by, while all are alike', () => {
    const { sources, tallies } = playedReplicas('r1', 'r2');
    expect([sources.current, sources.problem]).toEqual([undefined, undefined]);
    const first = found('a@1', UTC);
    tallies[0].add(first);
    tallies[1].add(found('b@1', UTC));
    expect(sources.current).toBe(first.source);
    expect(sources.problem).toBeUndefined();
  });

  it('is nothing while two differ, and says in what; it recovers when those are gone', () => {
    const { sources, tallies } = playedReplicas('r1', 'r2');
    tallies[0].add(found('a@1', UTC));
    tallies[1].add(found('b@1', PARIS));
    tallies[1].add(found('b@1', PARIS));
    expect(sources.current).toBeUndefined();
    expect(sources.problem).toBe('connections of the nodes "r1" and "r2" differ in TimeZone');
    tallies[1].remove(found('b@1', PARIS));
    expect(sources.current).toBeUndefined();
    tallies[1].remove(found('b@1', PARIS));
    expect(sources.current?.server).toBe('a@1');
    expect(sources.problem).toBeUndefined();
  });

  it('is nothing while one node has connections of two kinds', () => {
    const { sources, tallies } = playedReplicas('r1');
    tallies[0].add(found('a@1', UTC, 'numbers'));
    tallies[0].add(found('a@1', UTC, 'strings'));
    expect(sources.problem).toBe('connections of node "r1" differ in their type parsers');
    tallies[0].add(found('a@1', { ...PARIS, role: 'ada' }, 'numbers'));
    tallies[0].remove(found('a@1', UTC, 'strings'));
    expect(sources.problem).toBe('connections of node "r1" differ in role, TimeZone');
  });

  it('counts nodes only while they are replicas', () => {
    const { sources, tallies, keep } = playedReplicas('r1', 'r2');
    tallies[0].add(found('a@1', UTC));
    tallies[1].add(found('b@1', PARIS));
    expect(sources.current).toBeUndefined();
    keep(1);
    expect(sources.current?.server).toBe('b@1');
    keep(0, 1);
    expect(sources.current).toBeUndefined();
  });

  it('stays when the last connection has ended, until another one differs', () => {
    const { sources, tallies } = playedReplicas('r1');
    const first = found('a@1', UTC);
    tallies[0].add(first);
    expect(sources.current).toBe(first.source);
    tallies[0].remove(first);
    expect(sources.current).toBe(first.source);
    const next = found('a@1', PARIS);
    tallies[0].add(next);
    expect(sources.current).toBe(next.source);
  });

  it('says why nothing is known of any of them', () => {
    const { sources, tallies } = playedReplicas('r1');
    tallies[0].add('nobody tells');
    expect([sources.current, sources.problem]).toEqual([undefined, 'nobody tells (node "r1")']);
    tallies[0].add(found('a@1', UTC));
    expect(sources.problem).toBeUndefined();
    tallies[0].remove(found('a@1', UTC));
    expect(sources.current).toBeUndefined();
  });

  it('is worked out when something has changed, and not with each read', () => {
    let asked = 0;
    const tally = new SourceTally(() => sources.changed());
    const connections = {
      get sources() {
        asked++;
        return tally;
      },
    };
    const replicas = [{ name: 'r1', connections }];
    const sources: AnswerSources = new AnswerSources(() => replicas);
    for (let i = 0; i < 100; i++) tally.add(found('a@1', UTC));
    for (let i = 0; i < 100; i++) expect(sources.current).toBeDefined();
    expect(asked).toBe(1);
  });
});
