// A primary whose commits wait for a standby: it takes up that setting in its own time.
import { until } from '../behaviour/fixture.js';
import { query } from './query.js';

interface Reachable {
  readonly connectionString: string;
}

/** How many commits wait. */
export async function waitingCommits(node: Reachable): Promise<number> {
  return (await query(node, "select count(*)::int from pg_stat_activity where wait_event = 'SyncRep'")) as number;
}

/** Resolves when commits wait on that server, each from then on. @returns what resolves when those that tried it are over */
export async function untilCommitsWait(node: Reachable): Promise<() => Promise<unknown>> {
  const probes: Promise<unknown>[] = [];
  await until('commits wait', async () => {
    probes.push(query(node, "select pg_logical_emit_message(true, 'probe', '')").catch(() => undefined));
    return (await waitingCommits(node)) > 0;
  });
  return () => Promise.all(probes);
}
