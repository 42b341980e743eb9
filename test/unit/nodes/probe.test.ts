import type { QueryResult } from 'pg';
import { describe, expect, it } from 'vitest';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import type { LaneConnection, LaneStatement, Settle } from '../../../src/nodes/lane-connection.js';
import type { Observation } from '../../../src/nodes/observation.js';
import { Probe } from '../../../src/nodes/probe.js';
import type { Profile } from '../../../src/statements/profile.js';

const identity = {
  server: 'r@1',
  clusterId: '7',
  startedAt: '1',
  wal: { blockBytes: 8192n, segmentBytes: 16_777_216n },
};

function probe(): Probe {
  const listener = {
    took: () => undefined,
    answered: () => undefined,
    untracked: () => undefined,
    failed: () => undefined,
    hidden: () => undefined,
  };
  const settings = { assumeSynchronousCommit: false };
  const position = { observation: undefined, shownTimeline: undefined };
  return new Probe({} as never, new PrimaryHistory(), position as never, {} as never, settings as never, listener);
}

/** Keeps what is sent until it is answered. */
function played() {
  const asked: Settle[] = [];
  const connection = {
    turn: 0,
    identity,
    send: (_: LaneStatement, __: Profile, settle: Settle) => void asked.push(settle),
  };
  const answer = (at: number, lsn: string): void => {
    const row = { in_recovery: true, replay_lsn: lsn, insert_lsn: null, flush_lsn: null, wal_file: null };
    asked[at]?.(null, { rows: [row] } as unknown as QueryResult, 0);
  };
  return { connection: connection as unknown as LaneConnection & { turn: number }, asked, answer };
}

/** What each read was told, by its name. */
function reads(on: Probe) {
  const told: [string, bigint | undefined][] = [];
  const read = (name: string, connection: LaneConnection): void =>
    on.gateOn(connection, (seen: Observation | undefined) => told.push([name, seen?.lsn]));
  return { told, read };
}

describe('a gate ahead of reads on a shared connection', () => {
  it('is one for all that come in one turn, and tells each', () => {
    const { connection, asked, answer } = played();
    const { told, read } = reads(probe());
    for (const name of ['a', 'b', 'c']) read(name, connection);
    expect(asked).toHaveLength(1);
    answer(0, '0/180');
    expect(told).toEqual([
      ['a', 0x180n],
      ['b', 0x180n],
      ['c', 0x180n],
    ]);
  });

  it('is another one in the next turn, and once the first was answered', () => {
    const { connection, asked, answer } = played();
    const { told, read } = reads(probe());
    read('a', connection);
    connection.turn++;
    read('b', connection);
    expect(asked).toHaveLength(2);
    answer(0, '0/180');
    // The first one's answer leaves the second open.
    read('c', connection);
    expect(asked).toHaveLength(2);
    answer(1, '0/190');
    read('d', connection);
    expect(asked).toHaveLength(3);
    expect(told).toEqual([
      ['a', 0x180n],
      ['b', 0x190n],
      ['c', 0x190n],
    ]);
  });

  it('is another one on another connection, which may be answered before it', () => {
    const [one, other] = [played(), played()];
    const { told, read } = reads(probe());
    read('a', one.connection);
    read('b', other.connection);
    read('c', one.connection);
    expect([one.asked.length, other.asked.length]).toEqual([2, 1]);
    other.answer(0, '0/190');
    expect(told).toEqual([['b', 0x190n]]);
  });

  it('tells all that it proves nothing where it was not answered', () => {
    const { connection, asked } = played();
    const { told, read } = reads(probe());
    read('a', connection);
    read('b', connection);
    asked[0]?.(new Error('lost'), undefined, 0);
    expect(told).toEqual([
      ['a', undefined],
      ['b', undefined],
    ]);
  });
});
