import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { Attempt } from '../../../src/execute/attempt.js';
import { routeOf, routeRecordOf } from '../../../src/execute/route.js';
import type { QueryEvent, RouteEvent } from '../../../src/index.js';
import type { AnswerSource } from '../../../src/nodes/answer-source.js';
import { at } from '../freshness/positions.js';
import { aRead, nodeOf, type PlayedNode, playedFleet, playedNode } from './played-fleet.js';

type Called = (error: Error | null, result?: object) => void;

/** An attempt on a replica whose server answers at once. */
function attempting(answer: Error | object = { rowCount: 1, rows: [] }, replica: PlayedNode = playedNode('r1', 100n)) {
  const { context, fleet } = playedFleet([replica]);
  const request = aRead(context, { readOn: 'r1' });
  const attempt = new Attempt(request, nodeOf(replica), 'balanced');
  const query = (_: unknown, __: unknown, called: Called) =>
    answer instanceof Error ? called(answer) : called(null, answer);
  replica.client.query = query as never;
  const statement = {
    query: 'select 1',
    values: undefined,
    profile: undefined,
    introduce: undefined,
    tables: undefined,
  };
  const run = () => attempt.run(replica.connection as never, statement, undefined);
  return { attempt, replica, request, fleet, run, statement };
}

describe('a run of a request in one place', () => {
  it('is the load of its node until it leaves', () => {
    const { attempt, replica } = attempting();
    expect(replica.load.count).toBe(1);
    attempt.leave();
    expect(replica.load.count).toBe(0);
  });

  it('leaves the trace of its session only where that has seen its answer', () => {
    const { attempt, request } = attempting();
    const before = request.trace?.endedAt;
    attempt.leave();
    expect(request.trace?.endedAt).toBe(before);
    const next = new Attempt(request, attempt.node, 'balanced');
    next.leave('r9@1', 1e12);
    expect([request.trace?.server, request.trace?.endedAt]).toEqual(['r9@1', 1e12]);
  });

  it('gives back its turn on the primary when it leaves', () => {
    const { attempt } = attempting();
    let ended = 0;
    attempt.endTurn = () => void ended++;
    attempt.leave();
    expect(ended).toBe(1);
  });

  it('is told where it goes, and how it ends, under one number', async () => {
    const { attempt, fleet, run } = attempting();
    const told: (RouteEvent | QueryEvent)[] = [];
    fleet.publisher.emitter.on('route', (event) => told.push(event));
    fleet.publisher.emitter.on('query', (event) => told.push(event));
    attempt.placed(performance.now(), { source: undefined });
    await run();
    expect(told).toMatchObject([
      { id: 1, node: 'r1', reason: 'balanced', waitedMillis: expect.any(Number) },
      { id: 1, node: 'r1', role: 'replica', rowCount: 1, errorCode: undefined },
    ]);
  });

  it.each([
    [Object.assign(new Error('no'), { code: 'EMAIL' }), 'EMAIL'],
    [Object.assign(new Error('no'), { code: 'with\nline breaks' }), 'unknown'],
    [new Error('no'), 'unknown'],
  ])('tells of %s as %s', async (error, errorCode) => {
    const { fleet, run } = attempting(error);
    const told: QueryEvent[] = [];
    fleet.publisher.emitter.on('query', (event) => told.push(event));
    await expect(run()).rejects.toBe(error);
    expect(told).toMatchObject([{ errorCode, rowCount: null }]);
  });

  it('asks the clock for every eighth statement only, once there were enough, unless somebody listens', () => {
    const { attempt, replica, fleet } = attempting();
    replica.load.statementCount = 64;
    const timed = () => Array.from({ length: 16 }, () => attempt.begin('select 1')).filter(Boolean).length;
    expect(timed()).toBe(2);
    fleet.publisher.emitter.on('query', () => undefined);
    expect(timed()).toBe(16);
  });

  it('says on its answer who gave it, and up to where the replica was known to be before', async () => {
    const { attempt, run, replica, request, fleet } = attempting();
    request.rerunCount = 2;
    const source = { server: 'r1@1', settings: 'alike', types: pg.types } as AnswerSource;
    attempt.placed(request.startedAt + 5, { source });
    replica.lsn = 200n;
    fleet.history.add({ ...at(performance.now(), 500n), timeline: 2, forkLsn: 80n, startedAt: '2' });
    const result = await run();
    expect(routeRecordOf(result)?.source).toBe(source);
    expect(routeOf(result)).toEqual({
      rung: 'replica',
      node: 'r1',
      role: 'replica',
      reason: 'balanced',
      waitedMillis: expect.closeTo(5),
      rerunCount: 2,
      position: { timeline: 1, lsn: '0/64' },
    });
  });

  it('counts a read once, and where it ends', () => {
    const { attempt, replica } = attempting();
    attempt.placed(performance.now(), { source: undefined });
    expect(replica.load.readCount).toBe(1);
    attempt.abandoned();
    expect(replica.load.readCount).toBe(0);
  });

  it('cancels on the server what its caller gives up, and answers at once', async () => {
    const { attempt, replica, statement } = attempting();
    replica.client.query = () => undefined;
    const controller = new AbortController();
    const running = attempt.run(replica.connection as never, statement, controller.signal);
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    expect(replica.log).toContain('cancelled');
  });

  it('rejects with what its user throws while he looks at the connection, and sends nothing', async () => {
    const { attempt, replica, statement } = attempting();
    replica.client.query = () => {
      throw new Error('sent');
    };
    const introduce = () => {
      throw new Error('mine');
    };
    const running = attempt.run(replica.connection as never, { ...statement, introduce }, undefined);
    await expect(running).rejects.toThrow('mine');
  });
});
