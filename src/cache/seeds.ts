/** What servers have counted of statements, by digest: found out once, off the way of reads. */
import { setImmediate } from '../clock.js';
import { type StatementStatistic, statementStatistics } from '../execute/statement-statistics.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Classifier } from '../statements/classifier.js';
import type { ServerCost } from './watched.js';

/** Of all servers together. */
const MOST = 500;

/** Never rejects. */
export async function seedsOf(fleet: Fleet, classifier: Classifier): Promise<ReadonlyMap<string, ServerCost>> {
  const statistics = (await statementStatistics(fleet)).toSorted((a, b) => totalOf(b) - totalOf(a));
  const seeds = new Map<string, ServerCost>();
  for (const { text, callCount, millis } of statistics.slice(0, MOST)) {
    const digest = await classifier.digestOf(text);
    const before = seeds.get(digest) ?? { callCount: 0, millis: 0 };
    const both = before.callCount + callCount;
    seeds.set(digest, { callCount: both, millis: (before.millis * before.callCount + millis * callCount) / both });
    // Each takes the grammar some time: reads come first.
    await new Promise<void>((resolve) => setImmediate(() => resolve()));
  }
  return seeds;
}

function totalOf({ callCount, millis }: StatementStatistic): number {
  return callCount * millis;
}
