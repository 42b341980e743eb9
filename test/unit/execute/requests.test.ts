import { describe, expect, it } from 'vitest';
import { Requests } from '../../../src/execute/requests.js';
import { Floor } from '../../../src/freshness/floor.js';
import { ReadTrace } from '../../../src/freshness/read-trace.js';
import type { Consistency } from '../../../src/freshness/requirement.js';
import type { ReadOptions } from '../../../src/options/calls.js';
import { at, position } from '../freshness/positions.js';
import { playedFleet, playedNode } from './played-fleet.js';

/** A session that has written before, and what its reads are made of. */
function session(over: { consistency?: Consistency; settings?: object } = {}) {
  const { context, history } = playedFleet([playedNode('r1', 100n)], { settings: { ...over.settings } });
  const floor = new Floor();
  floor.claim(position(50n), performance.now());
  const trace = new ReadTrace(floor, undefined, true);
  const scope = {
    floor,
    readFloor: () => floor,
    trace,
    key: undefined,
    priority: 'normal',
    caller: () => undefined,
    tokenSubject: () => undefined,
    requirement: { consistency: over.consistency ?? 'session', maxStalenessMillis: undefined },
  };
  const tokens = {
    claim: (raised: Floor, token: string) => {
      if (token === 'forged') return 'refused';
      raised.claim(position(80n), performance.now());
      return 'claimed';
    },
  };
  const requests = new Requests(context, tokens as never);
  const entry = { id: 1, startedAt: performance.now() };
  const statement = requests.apart('select 1', undefined);
  const read = (options?: ReadOptions) => requests.readStatement(scope as never, options, entry, undefined, statement);
  return { read, scope, history, entry, requests, trace };
}

describe('what a read asks for', () => {
  it('is what its session has seen, by the very floor that its writes raise', () => {
    const { read, scope, history } = session();
    const request = read();
    expect(request.floor).toBe(scope.floor);
    expect(request.floor.resolve(history)).toBe(50n);
  });

  it('is nothing at all for an eventual one, on the call or on the session', () => {
    const { read, history } = session();
    expect(read({ consistency: 'eventual' }).floor.resolve(history)).toBe(0n);
    expect(session({ consistency: 'eventual' }).read().floor.resolve(history)).toBe(0n);
  });

  it('is all that was written before it began for a strong one: only a later answer of the primary covers that', () => {
    const { read, history, scope, entry } = session();
    const strong = read({ consistency: 'strong' });
    history.add(at(entry.startedAt - 0.001, 70n));
    expect(strong.floor.resolve(history)).toBe('pending');
    history.add(at(entry.startedAt + 0.001, 120n));
    expect(strong.floor.resolve(history)).toBe(120n);
    expect(scope.floor.resolve(history)).toBe(50n);
    expect(session({ consistency: 'strong' }).read().floor.resolve(history)).toBe('pending');
  });

  it('is a token beside what the session has seen, and raises no other read of it', () => {
    const { read, history, scope, trace } = session();
    expect(read({ atLeast: 'a token' }).floor.resolve(history)).toBe(80n);
    expect(trace.hasUnshown).toBe(true);
    expect(scope.floor.resolve(history)).toBe(50n);
  });

  it('is what it would be without a token that is refused', () => {
    const { read, history, trace } = session();
    expect(read({ atLeast: 'forged' }).floor.resolve(history)).toBe(50n);
    expect(trace.hasUnshown).toBe(false);
  });

  it('must name a node that is there, unless nodes come and go', () => {
    const { read } = session();
    expect(read({ target: { node: 'r1' } }).target).toEqual({ node: 'r1' });
    expect(() => read({ target: { node: 'r7' } })).toThrow('expected one of p, r1, got "r7"');
    expect(() => read({ target: { node: 'postgres://me:secret@host' } })).toThrow('got text that is no name');
    const discovering = session({ settings: { discovery: {} } });
    expect(discovering.read({ target: { node: 'r7' } }).target).toEqual({ node: 'r7' });
  });

  it('has its own time and priority, over the defaults', () => {
    const { read } = session();
    expect(read({ timeoutMillis: 5, priority: 'high' })).toMatchObject({ giveUpAt: 5, priority: 'high' });
    expect(read()).toMatchObject({ giveUpAt: 1_000, priority: 'normal' });
  });
});
