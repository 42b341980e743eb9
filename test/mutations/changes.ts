/** Faults in what is taken for unchanged. */
import type { Mutation } from './mutation.js';

const LEDGER = 'test/unit/changes/ledger.test.ts';
const WATCH = 'test/unit/changes/definition-watch.test.ts';
const CURRENT = 'test/behaviour/changes/stays-current.test.ts';
const TORTURE = 'test/faults/changes/torture.test.ts';

export const changes: readonly Mutation[] = [
  {
    name: 'an answer stays current although its table has changed',
    breaks: 'rule 32',
    file: 'src/changes/dependence.ts',
    find: 'if (record.last <= lsn) return false;',
    replace: 'if (record.last >= 0n) return false;',
    tests: [LEDGER, TORTURE],
  },
  {
    name: 'a row that is forgotten counts as unchanged',
    breaks: 'rule 32',
    file: 'src/changes/ledger.ts',
    find: 'const own = this.#keys.get(key) ?? this.#dropped;',
    replace: 'const own = this.#keys.get(key) ?? 0n;',
    tests: [LEDGER],
  },
  {
    name: 'an answer from before the source began stays current',
    breaks: 'rule 32',
    file: 'src/changes/ledger.ts',
    find: 'validFrom < start.lsn || this.#all > validFrom',
    replace: 'this.#all > validFrom',
    tests: [LEDGER],
  },
  {
    name: 'an answer from before a definition changed stays current',
    breaks: 'rule 32',
    file: 'src/changes/ledger.ts',
    find: 'validFrom < start.lsn || this.#all > validFrom',
    replace: 'validFrom < start.lsn',
    tests: [LEDGER],
  },
  {
    name: 'after a gap answers stay current',
    breaks: 'rule 40',
    file: 'src/changes/ledger.ts',
    find: `  broken(): void {
    this.#clear();`,
    replace: '  broken(): void {',
    tests: [LEDGER],
  },
  {
    name: 'a table that is not published counts as unchanged',
    breaks: 'rule 39',
    file: 'src/changes/dependence.ts',
    find: 'if (records.length === 0) return undefined;',
    replace: '',
    tests: [LEDGER, CURRENT],
  },
  {
    name: 'a view counts as what it was before it was replaced',
    breaks: 'rule 32',
    file: 'src/changes/ledger.ts',
    find: 'if (unchangedThrough === undefined || stamp !== this.#definitions.stamp) return undefined;',
    replace: 'if (unchangedThrough === undefined) return undefined;',
    tests: [LEDGER],
  },
  {
    name: 'what a function reads of the same table does not count',
    breaks: 'rule 32',
    file: 'src/sql/dependencies.ts',
    find: '!touchedAgain.has(',
    replace: '!new Set<string>().has(',
    tests: ['test/unit/sql/dependencies.test.ts'],
  },
  {
    name: 'the outer side of a join is fixed by what must hold of the inner one',
    breaks: 'rule 32',
    file: 'src/sql/fixed-columns.ts',
    find: 'const isMeant = only === undefined || only.has(alias);',
    replace: 'const isMeant = only === undefined || only.size > 0 || only.has(alias);',
    tests: ['test/unit/sql/dependencies.test.ts'],
  },
  {
    name: 'a look counts up to where the replica stood after it',
    breaks: 'rule 32',
    file: 'src/changes/definition-watch.ts',
    find: 'const through = seen === undefined || !isSame ? before.lsn : newer(before.lsn, seen.through);',
    replace: 'const through = after.lsn;',
    tests: [WATCH],
  },
  {
    name: 'definitions are named although one was told to have changed',
    breaks: 'rule 32',
    file: 'src/changes/definition-watch.ts',
    find: 'return this.#told === undefined && this.unchangedThrough',
    replace: 'return this.unchangedThrough',
    tests: [WATCH],
  },
  {
    name: 'a position that stands still is not noticed',
    breaks: 'rule 40',
    file: 'src/changes/standstill.ts',
    find: 'isHeldBack || end > watermark + UNFLUSHED_BYTES',
    replace: 'isHeldBack && end > watermark + UNFLUSHED_BYTES',
    tests: ['test/unit/changes/standstill.test.ts'],
  },
  {
    name: 'nothing tells why the position stands still',
    breaks: 'rule 40',
    file: 'src/changes/log-stream.ts',
    find: 'return this.#isHeld && this.#isInvisible ? INVISIBLE : undefined;',
    replace: 'return undefined;',
    tests: ['test/faults/changes/standstill.test.ts'],
  },
  {
    name: 'what a source has lost counts as heard',
    breaks: 'rule 40',
    file: 'src/changes/changes.ts',
    find: `  #broken(reason: string): void {
    this.#ledger.broken();`,
    replace: '  #broken(reason: string): void {',
    tests: ['test/behaviour/changes/cluster-sources.test.ts'],
  },
  {
    name: 'a role that may replicate is not told which timeline a replica is on',
    breaks: 'issue 25',
    file: 'src/nodes/probe.ts',
    find: 'this.#listener.hidden();',
    replace: 'void 0;',
    tests: ['test/faults/hidden-timeline.test.ts'],
  },
];
