/** Faults in what is known of servers: who is the primary, who follows it, who is out. */
import type { Mutation } from './mutation.js';

const UNIT = 'test/unit/nodes';

export const nodes: readonly Mutation[] = [
  {
    name: 'a replica that left the history before a failover answers',
    breaks: 'rule 6',
    file: 'src/nodes/observation.ts',
    find: 'return timeline === 1 || observation.timeline === timeline;',
    replace: 'return true;',
    tests: [`${UNIT}/observation.test.ts`, `${UNIT}/replica-position.test.ts`],
  },
  {
    name: 'replicas are believed while two servers write one timeline',
    breaks: 'rule 6',
    file: 'src/nodes/observation.ts',
    find: 'if (history.isAmbiguous) return false;',
    replace: '',
    tests: [`${UNIT}/replica-position.test.ts`],
  },
  {
    name: 'a replica that tells of log that nobody has written is believed',
    breaks: 'rule 6',
    file: 'src/nodes/observation.ts',
    find: 'lsn > history.highest && lsn > history.ceilingAt(sentAt) ? undefined : lsn',
    replace: 'lsn',
    tests: [`${UNIT}/replica-position.test.ts`, `${UNIT}/observation.test.ts`],
  },
  {
    name: 'what a server said before its connection was lost counts for its next life',
    breaks: 'rule 10',
    file: 'src/nodes/replica-position.ts',
    find: 'if (observation !== undefined && observation.sentAt <= this.#voidedAt) return false;',
    replace: '',
    tests: [`${UNIT}/replica-position.test.ts`],
  },
  {
    name: 'a lost connection leaves the observation as it was',
    breaks: 'rule 10',
    file: 'src/nodes/replica-position.ts',
    find: `    this.#observation = undefined;
    this.#voidedAt = now;`,
    replace: '    this.#voidedAt = now;',
    tests: [`${UNIT}/replica-position.test.ts`],
  },
  {
    name: 'a shared connection that reaches another server is used',
    breaks: 'rule 11',
    file: 'src/nodes/lane.ts',
    find: 'if (best.identity.server !== server) {',
    replace: 'if (server === undefined) {',
    tests: ['test/behaviour/lane/not-sharing.test.ts'],
  },
  {
    name: 'an overloaded server is ejected by its first failure',
    breaks: 'rule 19',
    file: 'src/nodes/ejection.ts',
    find: 'this.#failures >= FAILURES ||',
    replace: 'this.#failures > 0 ||',
    tests: [`${UNIT}/ejection.test.ts`],
  },
  {
    name: 'a server is back in rotation before it has answered',
    breaks: 'rule 19',
    file: 'src/nodes/ejection.ts',
    find: 'now >= standing.until && observedAt > standing.since',
    replace: 'now >= standing.until',
    tests: [`${UNIT}/ejection.test.ts`],
  },
  {
    name: 'a replica of which nothing is known is fresh',
    breaks: 'rule 22',
    file: 'src/nodes/replica-position.ts',
    find: 'lsn === undefined ? Number.NEGATIVE_INFINITY : clock.freshAsOf(lsn)',
    replace: 'lsn === undefined ? 0 : clock.freshAsOf(lsn)',
    tests: [`${UNIT}/replica-position.test.ts`],
  },
  {
    name: 'a server that missed a promotion is the primary',
    breaks: 'rule 5',
    file: 'src/nodes/topology.ts',
    find: 'const eligible = own.filter((voter) => timelineOf(voter) === newest);',
    replace: 'const eligible = own.filter((voter) => timelineOf(voter) <= newest);',
    tests: [`${UNIT}/topology.test.ts`],
  },
  {
    name: 'of two servers that take writes one gets them by chance',
    breaks: 'rule 14',
    file: 'src/nodes/topology.ts',
    find: "if (rivals.length > 1) return { is: 'contested', between: rivals };",
    replace: '',
    tests: [`${UNIT}/topology.test.ts`],
  },
  {
    name: 'more reads at once fall back on the primary than its budget allows',
    breaks: 'rule 18',
    file: 'src/isolation/priority-limiter.ts',
    find: 'this.#inUse >= this.#limit() || this.#hasItsShare(caller)',
    replace: 'this.#hasItsShare(caller)',
    tests: ['test/unit/isolation/priority-limiter.test.ts'],
  },
];
