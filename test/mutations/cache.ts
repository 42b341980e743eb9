/** Faults in what is kept of answers, in whom it is given to, and in what it leaves behind. */
import type { Mutation } from './mutation.js';

const ENTRY = 'test/unit/cache/entry.test.ts';
const TRACE = 'test/unit/freshness/read-trace.test.ts';
const JOINS = 'test/faults/cache/joins.test.ts';
const SCENARIOS = 'test/faults/cache/scenarios.test.ts';

export const cache: readonly Mutation[] = [
  {
    name: 'answers of the primary are kept, at the place that its log has reached',
    breaks: 'rule 31',
    file: 'src/cache/keeper.ts',
    find: '    const { role, lsn, source, timeline, node, waitedMillis } = record;',
    replace: `    const { source, timeline, node, waitedMillis } = record;
    const role: string = 'replica';
    const lsn = record.lsn ?? history.highest;`,
    tests: [SCENARIOS],
  },
  {
    name: 'an answer is as fresh as the moment at which it came',
    breaks: 'rule 31',
    file: 'src/cache/keeper.ts',
    find: 'isPresent ? history.clock.freshAsOf(lsn) : Number.NEGATIVE_INFINITY',
    replace: 'isPresent ? endedAt : Number.NEGATIVE_INFINITY',
    tests: [SCENARIOS],
  },
  {
    name: 'what was read earlier and comes later takes the place of what shows more',
    breaks: 'rule 34',
    file: 'src/cache/keeper.ts',
    find: 'if (held?.lsn !== undefined && isNewer(held, entry)) return;',
    replace: '',
    tests: [SCENARIOS],
  },
  {
    name: 'what was read before it was to be forgotten is kept',
    breaks: 'rule 34',
    file: 'src/cache/fills.ts',
    find: 'const isKept = entry !== undefined && this.#flights.owns(key, flight) &&',
    replace: 'const isKept = entry !== undefined &&',
    tests: [SCENARIOS],
  },
  {
    name: 'whoever waits for the same takes what comes, also where the own writes are not in it',
    breaks: 'rule 34',
    file: 'src/cache/fills.ts',
    find: 'entry === undefined ? asksNoMore() : this.#judge.meets(entry, lookup)',
    replace: 'entry !== undefined || asksNoMore()',
    tests: [JOINS],
  },
  {
    name: 'whoever waits for the same is told an error from before the own writes',
    breaks: 'rule 34',
    file: 'src/cache/fills.ts',
    find: 'if (isServerError(landed.error) && asksNoMore()) throw landed.error;',
    replace: 'if (isServerError(landed.error)) throw landed.error;',
    tests: [JOINS],
  },
  {
    name: 'an answer that the new primary has no place for is given after a failover',
    breaks: 'rule 32',
    file: 'src/cache/entry.ts',
    find: 'clusterId === history.clusterId && isGood && this.#showsNothingLost()',
    replace: 'clusterId === history.clusterId && (isGood || !this.#showsNothingLost())',
    tests: [ENTRY],
  },
  {
    name: 'what a lost primary wrote last is given after a failover, since the position of the answer is older',
    breaks: 'rule 32',
    file: 'src/cache/entry.ts',
    find: 'isGood && this.#showsNothingLost()',
    replace: 'isGood',
    tests: [ENTRY, SCENARIOS],
  },
  {
    name: 'answers keep their age although the clock stood still',
    breaks: 'rule 36',
    file: 'src/cache/entry.ts',
    find: 'if (this.#era !== this.#history.clock.era) return undefined;',
    replace: '',
    tests: [ENTRY],
  },
  {
    name: 'an answer of another process is given beyond what is known of the primary',
    breaks: 'rule 31',
    file: 'src/cache/entry.ts',
    find: ' || seenUpTo <= highest;',
    replace: ' || seenUpTo > 0n;',
    tests: [ENTRY],
  },
  {
    name: 'what depends on the time does not grow old while nothing is written',
    breaks: 'rule 33',
    file: 'src/cache/entry.ts',
    find: 'if (this.particulars.isTimed || timeline',
    replace: 'if (timeline',
    tests: [ENTRY],
  },
  {
    name: 'a session that was shown a kept answer reads on servers that are behind it',
    breaks: 'rule 12',
    file: 'src/freshness/read-trace.ts',
    find: '        this.#shown.wroteUpTo(upTo);\n',
    replace: '',
    tests: [TRACE, SCENARIOS],
  },
  {
    name: 'a session does not remember a kept answer of which nobody knows how much it shows',
    breaks: 'rule 12',
    file: 'src/freshness/read-trace.ts',
    find: `        this.#leave();
        this.#server = server;
        this.#endedAt = endedAt;`,
    replace: '',
    tests: [TRACE],
  },
  {
    name: 'the moment of an answer that was read in another process stands for its position',
    breaks: 'rule 36',
    file: 'src/freshness/read-trace.ts',
    find: 'upTo === undefined || endedAt !== Number.NEGATIVE_INFINITY',
    replace: 'true as boolean',
    tests: [TRACE],
  },
  {
    name: 'what was seen while the primary was compared counts as compared',
    breaks: 'rule 12',
    file: 'src/freshness/read-trace.ts',
    find: 'if (this.#sightCount !== sightCount) return;',
    replace: '',
    tests: [TRACE],
  },
  {
    name: 'a kept answer older than what was seen is given',
    breaks: 'rule 35',
    file: 'src/cache/judge.ts',
    find: 'trace.sights?.areIn(entry, families, this.#fleet.history) === false',
    replace: 'false',
    tests: [JOINS, 'test/faults/cache/torture.test.ts'],
  },
  {
    name: 'tables are told apart although all that was seen counts',
    breaks: 'rule 35',
    file: 'src/freshness/sights.ts',
    find: "if (this.monotonic === 'all' || tables === undefined) return [this.#all];",
    replace: 'if (tables === undefined) return [this.#all];',
    tests: ['test/unit/freshness/sights.test.ts', 'test/faults/cache/torture.test.ts'],
  },
  {
    name: 'a read of tables that nobody knows has seen none',
    breaks: 'rule 35',
    file: 'src/freshness/sights.ts',
    find: "if (this.monotonic === 'all' || tables === undefined) return [this.#all];",
    replace: "if (this.monotonic === 'all') return [this.#all];\n    if (tables === undefined) return [];",
    tests: ['test/unit/freshness/sights.test.ts'],
  },
  {
    name: 'a read with a target is answered from memory',
    breaks: 'rule 33',
    file: 'src/cache/lookups.ts',
    find: "if (options?.target !== undefined) return 'target asks for a server';",
    replace: '',
    tests: [SCENARIOS],
  },
];
