// A synchronous standby that is dead holds commits back: that stops the watermark, and is told.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { definitionsSql } from '../../../src/changes/installation.js';
import { notifyInstallSql } from '../../../src/changes/notify-triggers.js';
import type { ChangesOptions, WarningEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, until } from '../../behaviour/fixture.js';
import { untilCommitsWait, waitingCommits } from '../../testing/commits-wait.js';
import { ask } from '../promoted.js';

let servers: TestCluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  const { primary } = servers;
  await ask(primary, 'create table t (id int primary key)');
  await ask(primary, 'create publication pg_ladder for table t');
  for (const text of notifyInstallSql([{ schema: 'public', name: 't' }])) await ask(primary, text);
  for (const text of definitionsSql()) await ask(primary, text);
  await servers.replicas[0]?.waitForReplay();
});
afterAll(() => servers?.stop());

const cases: [changes: ChangesOptions | 'notify', text: string, words: RegExp][] = [
  [{}, 'alter table t add column if not exists note text', /changed definitions is in the log, and not visible yet/],
  ['notify', 'insert into t values (1)', /has notified is not over yet/],
];

describe('a commit that a dead standby holds back', () => {
  it.each(cases)('is told, once, with what it does to the position: %j', async (changes, text, words) => {
    const { primary } = servers;
    await using cluster = await open(servers, { cache: true, changes });
    const warnings: WarningEvent[] = [];
    cluster.events.on('warning', (warning) => warnings.push(warning));
    await until('changes are heard', () => cluster.changes.stats().state === 'current');
    expect(cluster.changes.stats().stillMillis).toBe(0);

    await primary.configure({ synchronous_standby_names: 'nobody' });
    const probed = await untilCommitsWait(primary);
    const count = await waitingCommits(primary);
    const writer = new pg.Client(primary.connectionString);
    await writer.connect();
    const written = writer.query(text);
    await until('its commit waits', async () => (await waitingCommits(primary)) > count);
    await until('it is told', () => words.test(cluster.changes.stats().problem ?? ''));
    const stats = cluster.changes.stats();
    expect(stats.state).toBe('current');
    expect(stats.stillMillis).toBeGreaterThanOrEqual(5_000);
    await until('it stands still for longer', () => cluster.changes.stats().stillMillis > stats.stillMillis);
    expect(warnings.filter(({ message }) => message === stats.problem).map(({ code }) => code)).toEqual(['changes']);

    await primary.configure({ synchronous_standby_names: null });
    await Promise.all([written, probed()]);
    await writer.end();
    await until('it goes on', () => {
      const { stillMillis, problem } = cluster.changes.stats();
      return stillMillis === 0 && problem === undefined;
    });
  });
});
