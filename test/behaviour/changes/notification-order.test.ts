// What the watermark of `changes: 'notify'` stands on: the order in which PostgreSQL hands over notifications. It goes
// by the log itself: which commit ended where, as logical decoding tells.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Lsn, parseLsn } from '../../../src/freshness/lsn.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { size, until } from '../fixture.js';

const WRITER_COUNT = 8;
const MARKER_COUNT = 3;
const SECONDS = size(2, 20);

const SET_UP = `
  create table told (id int primary key, n int not null);
  insert into told select id, 0 from generate_series(1, ${WRITER_COUNT}) as id;
  create function tell() returns trigger language plpgsql as
    'begin perform pg_notify(''told'', pg_current_xact_id()::text); return null; end';
  create trigger tell after update on told for each statement execute function tell();
  alter table told enable always trigger tell;`;

/** Reads where the log ends, and notifies in the same statement. */
const MARK = "select pg_notify('mark', pg_current_wal_insert_lsn()::text)";

interface Heard {
  /** By transaction: how many notifications came before its own. */
  readonly told: ReadonlyMap<string, number>;
  readonly marks: readonly { readonly lsn: Lsn; readonly at: number }[];
  /** Positions that the listening connection itself has read, without a notification. */
  readonly reads: readonly { readonly lsn: Lsn; readonly at: number }[];
  /** By transaction: where its commit ended. */
  readonly ends: ReadonlyMap<string, Lsn>;
}

describe.each([14, 18])('notifications of PostgreSQL %i', (postgresVersion) => {
  let servers: TestCluster;
  let heard: Heard;

  beforeAll(async () => {
    // A commit that waits for its standby is in the log, and not visible yet.
    servers = await startTestCluster({ replicas: 1, synchronousReplicas: 1, postgresVersion });
    heard = await play(servers);
  }, 120_000);
  afterAll(() => servers?.stop());

  it('arrive before a notification that carries a position at or beyond their commits', () => {
    expect(heard.marks.length).toBeGreaterThan(20);
    expect([...heard.ends.keys()].filter((xid) => !heard.told.has(xid))).toEqual([]);
    expect(heard.ends.size).toBeGreaterThan(100);
    expect(missedBy(heard, heard.marks)).toBe(0);
  });

  it('may come later than a position that is merely read, on whatever connection', () => {
    expect(missedBy(heard, heard.reads)).toBeGreaterThan(0);
  });
});

/** How many commits ended at or before one of these positions, and were told only after it. */
function missedBy({ told, ends }: Heard, positions: Heard['marks']): number {
  const isMissed = ([xid, end]: [string, Lsn]): boolean =>
    positions.some(({ lsn, at }) => end <= lsn && (told.get(xid) ?? Number.POSITIVE_INFINITY) > at);
  return [...ends].filter(isMissed).length;
}

async function play({ primary }: TestCluster): Promise<Heard> {
  const clients: pg.Client[] = [];
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(primary.connectionString);
    client.on('error', () => undefined);
    clients.push(client);
    await client.connect();
    return client;
  };
  try {
    const root = await connect();
    await root.query(SET_UP);
    await root.query("select pg_create_logical_replication_slot('ends', 'test_decoding')");
    const told = new Map<string, number>();
    const marks: { lsn: Lsn; at: number }[] = [];
    const reads: { lsn: Lsn; at: number }[] = [];
    let count = 0;
    const listener = await connect();
    listener.on('notification', ({ channel, payload = '' }) => {
      if (channel === 'mark') marks.push({ lsn: lsnOf(payload), at: count });
      else told.set(payload, ++count);
    });
    await listener.query('listen told; listen mark');
    const endsAt = performance.now() + SECONDS * 1_000;
    const isOver = (): boolean => performance.now() >= endsAt;
    const write = async (id: number): Promise<void> => {
      const client = await connect();
      // A third of them does not wait for its log to be flushed, nor for the standby.
      if (id % 3 === 0) await client.query('set synchronous_commit = off');
      while (!isOver()) await client.query('update told set n = n + 1 where id = $1', [id]);
    };
    const mark = async (): Promise<void> => {
      const client = await connect();
      await client.query('set synchronous_commit = local');
      while (!isOver()) await client.query(MARK);
    };
    const read = async (): Promise<void> => {
      while (!isOver()) {
        const { rows } = await listener.query('select pg_current_wal_insert_lsn()::text as lsn');
        reads.push({ lsn: lsnOf(rows[0].lsn), at: count });
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    await Promise.all([
      ...Array.from({ length: WRITER_COUNT }, (_, i) => write(i + 1)),
      ...Array.from({ length: MARKER_COUNT }, mark),
      read(),
    ]);
    const ends = await decoded(root);
    await until('each commit is told', () => told.size >= ends.size);
    return { told, marks, reads, ends };
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

/** The end of each commit that changed the table, by its transaction. */
async function decoded(client: pg.Client): Promise<Map<string, Lsn>> {
  const { rows } = await client.query<{ lsn: string; xid: string; data: string }>(
    "select lsn::text, xid::text, data from pg_logical_slot_get_changes('ends', null, null)",
  );
  const changed = new Set(rows.filter(({ data }) => data.startsWith('table public.told')).map(({ xid }) => xid));
  const commits = rows.filter(({ xid, data }) => changed.has(xid) && data.startsWith('COMMIT'));
  return new Map(commits.map(({ xid, lsn }) => [xid, lsnOf(lsn)]));
}

function lsnOf(text: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn === undefined) throw new Error('no position');
  return lsn;
}
