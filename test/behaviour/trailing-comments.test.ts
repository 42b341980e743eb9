/** Texts that a tracing tool makes unique, as sqlcommenter does. */
import { expect, it } from 'vitest';
import { startTestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from './fixture.js';

it('reads with a comment of their own each share connections, answer their own values, and show the server their own comments', async () => {
  await using servers = await startTestCluster({ replicas: 1 });
  await using cluster = await open(servers);
  await cluster.write(
    'create table items (id int primary key); create function asked() returns text stable as $$select current_query()$$ language sql',
  );
  await cluster.write('insert into items select i from generate_series(0, 999) i');
  await servers.replicas[0]?.waitForReplay();
  const hasLane = process.env['LANE'] !== 'off';
  let id = 0;
  const read = async (run: (text: string, values: unknown[]) => Promise<{ rows: unknown[] }>) => {
    const asked = ++id % 1_000;
    const text = `select id from items where id = $1 /*traceparent='00-${id}-01'*/`;
    expect((await run(text, [asked])).rows).toEqual([{ id: asked }]);
  };
  const pool = cluster.pool();
  const ways = {
    query: (text: string, values: unknown[]) => cluster.query(text, values),
    pool: (text: string, values: unknown[]) => pool.query(text, values),
    read: (text: string, values: unknown[]) => cluster.read(text, values),
  };
  for (const run of Object.values(ways)) {
    const before = nodeOf(cluster, 'r1').lane.statementCount;
    await until('they share connections', async () => {
      await Promise.all(Array.from({ length: 20 }, () => read(run)));
      return !hasLane || nodeOf(cluster, 'r1').lane.statementCount > before + 40;
    });
  }
  // Of one text with two comments the server is told both, and neither gets the other's answer.
  const tracing = async (comment: string) => {
    const { rows } = await cluster.read<{ q: string; v: number }>(
      `select asked() as q, $1::int as v /*${comment}*/`,
      [7],
    );
    expect(rows).toEqual([{ q: expect.stringContaining(`/*${comment}*/`), v: 7 }]);
  };
  for (let i = 0; i < 5; i++) await Promise.all(['a', 'b', `c${i}`].map(tracing));
});
