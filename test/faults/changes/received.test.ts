// What a replica is asked right behind a read never lies below what that read has seen: while it
// streams, while its receiver comes and goes, after a crash, from an archive, and across timelines.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseLsn } from '../../../src/freshness/lsn.js';
import { type Position, Timelines } from '../../../src/freshness/position.js';
import { type ReceivedRow, upperBoundFrom } from '../../../src/nodes/received.js';
import { RECEIVED } from '../../../src/postgres/own-statements.js';
import { question } from '../../../src/postgres/plain-types.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { report, size, until } from '../../behaviour/fixture.js';
import { open, query } from '../../testing/query.js';

const LOOKS = size(400, 20_000);
const FURTHEST = 2n ** 64n;

let servers: TestCluster;

/** Where the log ended right before the commit of each version: that lies beyond. */
const commitsBeyond: bigint[] = [];

beforeAll(async () => {
  servers = await startTestCluster({
    replicas: 2,
    primarySettings: { archive_mode: 'on', archive_command: 'mkdir -p archive && cp %p archive/%f' },
  });
  const directory = String(await query(servers.primary, 'show data_directory'));
  await servers.replicas[0]?.configure({ restore_command: `cp "${directory}/archive/%f" %p` });
  await query(servers.primary, 'create table versions (version int not null)');
  await query(servers.primary, 'insert into versions values (0)');
  commitsBeyond.push(0n);
  for (const replica of servers.replicas) await replica.waitForReplay();
});
afterAll(() => servers.stop());

/** Commits one version after the other. @param isElsewhere whether the changes are heard of another server */
async function writing(node: TestNode, signal: AbortSignal, isElsewhere = false): Promise<void> {
  const client = await open(node);
  while (!signal.aborted) {
    // In one message: the position is read right before the commit.
    const results = (await client.query(
      'begin; update versions set version = version + 1 returning version; select concat(pg_current_wal_insert_lsn()) as lsn; commit',
    )) as unknown as pg.QueryResult[];
    const version = results[1]?.rows[0].version as number;
    commitsBeyond[version] = isElsewhere ? FURTHEST : (parseLsn(results[2]?.rows[0].lsn) ?? FURTHEST);
  }
  await client.end();
}

interface Look {
  readonly version: number;
  readonly row: ReceivedRow;
  readonly upperBound: Position | undefined;
}

/** Reads, and asks right behind each read on the same connection, until the server is gone or all is over. */
async function looking(node: TestNode, looks: Look[], isOver: () => boolean): Promise<void> {
  const client = new pg.Client({ connectionString: node.connectionString, pipeline: true } as pg.ClientConfig);
  client.on('error', () => undefined);
  const known = { clusterId: servers.clusterId, timelines: new Timelines(1), isAmbiguous: false };
  await client.connect();
  try {
    while (!isOver()) {
      const [{ rows }, behind] = await Promise.all([
        client.query<{ version: number }>('select version from versions'),
        client.query<ReceivedRow>(question(RECEIVED)),
      ]);
      const [row] = behind.rows;
      if (rows[0] === undefined || row === undefined) throw new Error('no answer');
      looks.push({ version: rows[0].version, row, upperBound: upperBoundFrom(row, known, known) });
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Looks at a replica while the primary is written, and something is done. */
async function lookWhile(node: TestNode, during: (looks: Look[]) => Promise<unknown>): Promise<Look[]> {
  const over = new AbortController();
  const looks: Look[] = [];
  const writer = writing(servers.primary, over.signal);
  const reading = looking(node, looks, () => over.signal.aborted);
  await during(looks).finally(() => over.abort());
  await Promise.all([writer, reading.catch(() => undefined)]);
  return looks;
}

/** Bounds that lie below what was seen, and how often the replay position does. */
function judge(what: string, looks: readonly Look[]): { wrong: Look[]; boundCount: number } {
  const isBelow = (lsn: bigint | undefined, version: number): boolean =>
    lsn !== undefined && lsn <= (commitsBeyond[version] ?? FURTHEST);
  const wrong = looks.filter(({ upperBound, version }) => isBelow(upperBound?.lsn, version));
  const replayedBelow = looks.filter(({ row, version }) => isBelow(parseLsn(String(row.replay_lsn)), version));
  const boundCount = looks.filter(({ upperBound }) => upperBound !== undefined).length;
  report(what, { looks: looks.length, boundCount, wrong: wrong.length, replayedBelow: replayedBelow.length });
  return { wrong, boundCount };
}

const has = (looks: Look[], count: number, holds: (look: Look) => boolean): boolean =>
  looks.filter(holds).length >= count;
const isBound = ({ upperBound }: Look): boolean => upperBound !== undefined;

describe('what a replica has received, asked behind a read', () => {
  it('covers all that the read has seen, while the primary is written', async () => {
    const [r1] = servers.replicas as [TestNode];
    const looks = await lookWhile(r1, (seen) => until('it was looked', () => has(seen, LOOKS, isBound)));
    expect(judge('streaming', looks).wrong).toEqual([]);
  });

  it('covers it while its receiver is cut off and begins anew', async () => {
    const [r1] = servers.replicas as [TestNode];
    const looks = await lookWhile(r1, async (seen) => {
      for (let round = 0; round < size(5, 50); round++) {
        const before = seen.length;
        await query(servers.primary, 'select pg_terminate_backend(pid) from pg_stat_replication');
        await until('it streams again', () => seen.slice(before).filter(isBound).length > 20);
      }
    });
    expect(judge('receivers', looks).wrong).toEqual([]);
    expect(looks.some((look) => !isBound(look))).toBe(true);
  });

  it('claims nothing while the log comes from an archive, and covers it again after that', async () => {
    const [r1] = servers.replicas as [TestNode];
    const looks = await lookWhile(r1, async (seen) => {
      for (let round = 0; round < size(2, 20); round++) {
        await r1.cutReplication();
        const cut = seen.at(-1)?.version ?? 0;
        await query(servers.primary, 'select pg_switch_wal()');
        const isFromArchive = (look: Look): boolean => !isBound(look) && look.version > cut;
        await until('it replays from the archive', () => has(seen, 1, isFromArchive));
        await r1.restoreReplication();
        const before = seen.length;
        await until('it streams again', () => seen.slice(before).filter(isBound).length > 20);
      }
    });
    expect(judge('archive', looks).wrong).toEqual([]);
  });

  it('covers it after the replica has crashed, and replays what lies there', async () => {
    const [r1] = servers.replicas as [TestNode];
    for (let round = 0; round < size(1, 10); round++) {
      await r1.kill();
      const over = new AbortController();
      const writer = writing(servers.primary, over.signal);
      await until('much was written', () => commitsBeyond.length % 200 === 0);
      await r1.restart();
      over.abort();
      await writer;
      const looks = await lookWhile(r1, (seen) => until('it streams', () => has(seen, 50, isBound)));
      expect(judge('crash', looks).wrong).toEqual([]);
    }
  });

  it('claims nothing of a later timeline, also where the receiver goes over to that', async () => {
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    await r2.follow(r1);
    const looks: Look[] = [];
    let isOver = false;
    const over = new AbortController();
    const reading = looking(r2, looks, () => isOver);
    const before = writing(servers.primary, over.signal);
    await until('it was looked', () => has(looks, 50, isBound));
    over.abort();
    await before;
    await r1.promote();
    const later = new AbortController();
    const after = writing(r1, later.signal, true);
    await until('the later timeline is seen', () =>
      has(looks, 50, ({ version }) => commitsBeyond[version] === FURTHEST),
    );
    later.abort();
    await after;
    isOver = true;
    await reading;
    expect(judge('promotion', looks).wrong).toEqual([]);
    expect(looks.some(({ row, version }) => commitsBeyond[version] === FURTHEST && row.status === 'streaming')).toBe(
      true,
    );
  });
});
