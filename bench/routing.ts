/**
 * `npm run bench:routing`: what it costs to decide where a read goes, by how many replicas there are and by how the read is placed. Exits 1 when a bound is missed with
 * its whole interval.
 */
import { startTestCluster } from '../src/testing/index.js';
import { intervalOfMedian, median } from './rounds.js';
import { type Placing, routeDecision } from './route-decision.js';

const ROUNDS = 25;
/** Microseconds, with fifty replicas. */
const BOUND = 5;
const PLACINGS: readonly Placing[] = ['without a key', 'in a session', 'by key', 'by a hot key'];

const servers = await startTestCluster({ replicas: 1 });
const { primary, replicas } = servers;
const urls = { primary: primary.connectionString, replicas: replicas.map((r) => r.connectionString) };
let missed = 0;
try {
  console.log(
    `| replicas | read | µs a decision (median of ${ROUNDS} rounds, 95 %) | bytes allocated |\n| ---: | --- | --- | ---: |`,
  );
  for (const count of [1, 3, 10, 50]) {
    for (const placing of PLACINGS) {
      const { micros, bytes } = await routeDecision(urls, count, placing, ROUNDS);
      const [low, high] = intervalOfMedian(micros);
      if (low > BOUND) missed++;
      const figures = [median(micros), low, high].map((n) => n.toFixed(3));
      console.log(
        `| ${count} | ${placing} | ${figures[0]} [${figures[1]}, ${figures[2]}] | ${Math.max(0, median(bytes)).toFixed(0)} |`,
      );
    }
  }
} finally {
  await servers.stop();
}
if (missed > 0) console.log(`${missed} above ${BOUND} µs`);
process.exitCode = missed > 0 ? 1 : 0;
