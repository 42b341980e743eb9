/** A thousand callers ask at once for what nobody holds: how many statements reach the servers. */
import type * as library from '../../src/index.js';
import type { Servers } from '../contenders/access.js';
import { StatementCounts } from './statement-counts.js';
import { wideText } from './statements.js';

export interface FloodResult {
  readonly callers: number;
  /** Of each flood, on a key of its own. */
  readonly statementCounts: readonly number[];
}

const CALLERS = 1_000;
const BUILT = new URL('../../dist/index.js', import.meta.url).href;

export async function flood(servers: Servers, floods: number): Promise<FloodResult> {
  const { createCluster } = (await import(BUILT)) as typeof library;
  await using counts = await StatementCounts.of(servers);
  const { primary, replicas } = servers;
  await using cluster = createCluster({ primary, replicas: [...replicas], cache: true });
  await cluster.ready();
  const read = (id: number) => cluster.read(wideText(1), [id], { cache: true });
  await read(0);
  const statementCounts: number[] = [];
  for (let id = 1; id <= floods; id++) {
    const before = await counts.on('wide');
    await Promise.all(Array.from({ length: CALLERS }, () => read(id)));
    statementCounts.push((await counts.on('wide')) - before);
  }
  return { callers: CALLERS, statementCounts };
}
