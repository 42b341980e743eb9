/** What `routeOf(result).position` promises, while the primary is another one than before. */
import { expect, it } from 'vitest';
import { type Route, routeOf } from '../../src/index.js';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { open, until } from '../behaviour/fixture.js';
import { isPrimary } from './promoted.js';

/** How far the replica has replayed when it answers. */
const SHOWN = 'select pg_last_wal_replay_lsn()::text as lsn, $1::int as n';
/** What may share a connection, which reads the position of its replica along. */
const SHARED = 'select null as lsn, id as n from t where id = $1 limit 1';

interface Answer {
  readonly route: Route | undefined;
  /** `null` where it says nothing. */
  readonly shown: string | null;
}

function bytes(lsn: string): bigint {
  const [high = '', low = ''] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** Those that say more than the replica had. */
function beyond(answers: readonly Answer[]): Answer[] {
  return answers.filter(({ route, shown }) => {
    const position = route?.position;
    return position !== undefined && shown !== null && bytes(position.lsn) > bytes(shown);
  });
}

it('an answer tells no more than its replica had replayed, and after a failover tells the new timeline', async () => {
  await using servers = await startTestCluster({ replicas: 2 });
  await using cluster = await open(servers);
  await cluster.write('create table t (id int)');
  const [r1, r2] = servers.replicas as [TestNode, TestNode];
  const read = async (text: string, n: number, consistency?: 'eventual'): Promise<Answer> => {
    const options = consistency === undefined ? {} : { consistency };
    const result = await cluster.read<{ lsn: string | null }>(text, [n], options);
    return { route: routeOf(result), shown: result.rows[0]?.lsn ?? null };
  };
  /** Sessions that read what they have just written, side by side with reads that ask for nothing. */
  const play = async (): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (let i = 0; i < 50; i++) {
      await cluster.session(async () => {
        await cluster.write('insert into t values ($1)', [i]);
        answers.push(...(await Promise.all([read(SHARED, i), read(SHOWN, i), read(SHOWN, i, 'eventual')])));
      });
    }
    return answers.filter(({ route }) => route?.role === 'replica');
  };
  const laneCount = () => cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);

  const before: Answer[] = [];
  // How many reads share a connection depends on how far replay is when they come, so on the machine's speed.
  await until('some reads share a connection, and some wait for a look at the replica', async () => {
    before.push(...(await play()));
    const isShared = process.env['LANE'] === 'off' || laneCount() > 0;
    return isShared && before.some(({ route }) => route?.reason === 'gated');
  });
  expect(before.filter(({ route }) => route?.position?.timeline !== 1)).toEqual([]);
  expect(beyond(before)).toEqual([]);

  const during: Answer[] = [];
  let isOver = false;
  const reading = (async () => {
    while (!isOver) during.push(await read(SHOWN, 0, 'eventual'));
  })();
  await servers.primary.kill();
  await r1.promote();
  await r2.follow(r1);
  await until('r1 is the primary', isPrimary(cluster, 'r1'));
  await until('r2 answers again', async () => (await read(SHOWN, 0)).route?.node === 'r2', 30_000);
  const after: Answer[] = [];
  await until('reads after the failover are answered by the replica', async () => {
    after.push(...(await play()));
    return after.length > 0;
  });
  isOver = true;
  await reading;
  expect(beyond(during.filter(({ route }) => route?.role === 'replica'))).toEqual([]);

  expect(after.filter(({ route }) => route?.node !== 'r2' || route.position?.timeline !== 2)).toEqual([]);
  expect(beyond(after)).toEqual([]);
});
