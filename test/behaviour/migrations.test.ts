/** What somebody else's migrations change is noticed by texts that come again: the reference is bare pg, on the same server. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { isBackendAvailable, startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

const SCHEMA = `
  create type kind as enum ('a', 'b');
  create table moments (id int primary key, at timestamp not null, small int, kind kind);
  insert into moments select i, '2020-01-01T00:00:00', i, 'a' from generate_series(1, 3) as i;
  create table notes (id int primary key, body text);
  insert into notes values (1, 'a');
  create sequence runs;
  create function runs_then_divides(by int) returns int language sql volatile as
    $$ select (nextval('runs') / by)::int $$`;

/** As long as the docs say that a change may go unnoticed. */
const UNNOTICED_MILLIS = 2_000;
const rest = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));

interface Asked {
  readonly text: string;
  readonly values: readonly unknown[];
}

const READS: readonly Asked[] = [
  { text: 'select id from moments where at = $1 order by id', values: ['2020-01-01T05:00:00+05:00'] },
  { text: 'select id, small from moments where small < $1 order by id', values: [3] },
  { text: 'select * from notes where id = $1', values: [1] },
];

type Ask = (asked: Asked) => Promise<pg.QueryResult>;

async function shown(ask: Ask, asked: Asked): Promise<unknown> {
  const { rows, fields } = await ask(asked);
  return { rows, fields: fields.map(({ name, dataTypeID, tableID }) => ({ name, dataTypeID, tableID })) };
}

const bare =
  (client: pg.Client): Ask =>
  ({ text, values }) =>
    client.query(text, [...values]);

const majors = [14, 18];
const available = await Promise.all(majors.map((major) => isBackendAvailable('embedded', major)));

describe.each(majors)('on PostgreSQL %i, texts that come again', (major) => {
  const isHere = available[majors.indexOf(major)] === true;
  let servers: TestCluster;
  let replica: TestNode;
  let primary: pg.Client;
  let onReplica: pg.Client;
  let shared: Cluster;
  let pooled: Cluster;

  beforeAll(async () => {
    if (!isHere) return;
    servers = await startTestCluster({ replicas: 1, backend: 'embedded', postgresVersion: major });
    [replica] = servers.replicas as [TestNode];
    primary = new pg.Client(servers.primary.connectionString);
    onReplica = new pg.Client(replica.connectionString);
    await Promise.all([primary.connect(), onReplica.connect()]);
    await primary.query(SCHEMA);
    await replica.waitForReplay();
    // a shared connection is half of what is compared here, whatever the other files run without
    shared = await open(servers, { lane: true, namedStatements: true });
    pooled = await open(servers, { lane: false });
  });
  afterAll(async () => {
    if (!isHere) return;
    await Promise.all([shared.close(), pooled.close()]);
    await Promise.all([primary.end(), onReplica.end()]);
    await servers.stop();
  });

  const ways = (): Readonly<Record<'replica' | 'primary' | 'anywhere', readonly Ask[]>> => {
    const of = (cluster: Cluster, options: object): Ask[] => [
      ({ text, values }) => cluster.read(text, [...values], options),
      ({ text, values }) => cluster.query(text, [...values], options),
    ];
    const late = { consistency: 'eventual' as const };
    return {
      replica: [...of(shared, { target: 'replica', ...late }), ...of(pooled, { target: 'replica', ...late })],
      primary: [
        ...of(pooled, { target: 'primary' }),
        ({ text, values }) => shared.write(text, [...values]),
        ({ text, values }) => pooled.pool({ intent: 'write' }).query(text, [...values]),
      ],
      anywhere: [({ text, values }) => pooled.pool().query(text, [...values])],
    };
  };

  it.runIf(isHere)(
    'mean what they mean without a name, two seconds after a change is seen on the server that answers',
    async () => {
      const { replica: late, primary: current, anywhere } = ways();
      for (let i = 0; i < 3; i++) {
        for (const ask of [...late, ...current, ...anywhere]) await Promise.all(READS.map((asked) => ask(asked)));
      }
      const laneCount = (): number => shared.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);
      const before = laneCount();
      await until('they share a connection', async () => {
        for (const asked of READS) await late[1]?.(asked);
        return laneCount() >= before + 8;
      });

      await replica.pauseReplay();
      await primary.query('alter table moments alter small type bigint');
      await rest(200);
      await primary.query(`alter table moments alter at type timestamptz using at at time zone 'utc';
        drop table notes; create table notes (body text, id int primary key); insert into notes values ('b', 1)`);
      await rest(UNNOTICED_MILLIS);
      for (const asked of READS) {
        const expected = await shown(bare(primary), asked);
        for (const ask of [...current, ...anywhere]) expect(await shown(ask, asked)).toEqual(expected);
        const asBefore = await shown(bare(onReplica), asked);
        expect(asBefore).not.toEqual(expected);
        for (const ask of late) expect(await shown(ask, asked)).toEqual(asBefore);
      }

      await replica.resumeReplay();
      await replica.waitForReplay();
      await rest(UNNOTICED_MILLIS);
      for (const asked of READS) {
        const expected = await shown(bare(primary), asked);
        for (const ask of [...late, ...anywhere]) expect(await shown(ask, asked)).toEqual(expected);
      }
    },
  );

  it.runIf(isHere)('that fail by a type of before are answered by the type of now, at once', async () => {
    const text = 'update moments set small = $1, kind = $2 where id = 1 returning small, kind';
    await primary.query('alter table moments alter small type int');
    const [, , write] = ways().primary as [Ask, Ask, Ask];
    for (let i = 0; i < 3; i++) await write({ text, values: [5, 'a'] });
    await primary.query(`alter table moments alter small type bigint; alter type kind rename to kind_before;
      create type kind as enum ('a', 'c'); alter table moments alter kind type kind using kind::text::kind;
      drop type kind_before`);
    expect((await write({ text, values: [5_000_000_000, 'c'] })).rows).toEqual([{ small: '5000000000', kind: 'c' }]);
  });

  it.runIf(isHere)('that fail while they run are not run once more', async () => {
    const text = 'insert into moments (id, at) select 10 + runs_then_divides($1), now() where false or $1::int = 0';
    const write = (by: number): Promise<unknown> => shared.write(text, [by]);
    for (let i = 0; i < 3; i++) await write(1);
    const { rows: before } = await primary.query("select nextval('runs')::int as run");
    await expect(write(0)).rejects.toMatchObject({ code: '22012' });
    const { rows: after } = await primary.query("select nextval('runs')::int as run");
    expect(after[0].run).toBe(before[0].run + 2);
  });
});
