/** Faults in what keeps bad queries away from good ones: transactions that are held open, and statements that are sent again. */
import type { Mutation } from './mutation.js';

const WATCH = 'test/unit/isolation/transaction-watch.test.ts';
const BUDGET = 'test/unit/isolation/retry-budget.test.ts';
const RETRIES = 'test/faults/retry-budget.test.ts';
const HELD_OPEN = 'test/behaviour/transaction/held-open.test.ts';

export const isolation: readonly Mutation[] = [
  {
    name: 'a transaction whose COMMIT is under way is cut off',
    breaks: 'issue 27.7',
    file: 'src/isolation/watched-connection.ts',
    find: 'const isEnded = this.#limits.ends && (isIdle || !this.#mayCommit);',
    replace: 'const isEnded = this.#limits.ends;',
    tests: [WATCH, HELD_OPEN],
  },
  {
    name: 'a statement that runs counts as time without one',
    breaks: 'issue 27.7',
    file: 'src/isolation/watched-connection.ts',
    find: '    const isIdle = !isBusy(this.#holding.client);\n    const open',
    replace: '    const isIdle = true;\n    const open',
    tests: [WATCH, HELD_OPEN],
  },
  {
    name: 'a transaction that was ended goes on in its client',
    breaks: 'issue 27.7',
    file: 'src/execute/timed-transaction.ts',
    find: '      transaction.expire(expiry);\n',
    replace: '',
    tests: [HELD_OPEN],
  },
  {
    name: 'the connection of a transaction that was ended stays out of its pool for as long as its function runs',
    breaks: 'issue 27.7',
    file: 'src/execute/timed-transaction.ts',
    find: '      throwAway(connection);\n',
    replace: '',
    tests: [HELD_OPEN],
  },
  {
    name: "a pool's client whose transaction was ended keeps its place in the pool",
    breaks: 'issue 27.7',
    file: 'src/pool/client.ts',
    find: '    if (this.#isCheckedOut) this.#release?.(true);',
    replace: '    if (this.#isCheckedOut) return;',
    tests: [HELD_OPEN],
  },
  {
    name: 'what was closed for its transaction counts against its server',
    breaks: 'issue 27.7',
    file: 'src/pool/primary-connection.ts',
    find: 'if (!this.#time.isOver) lostUnder',
    replace: 'lostUnder',
    tests: [HELD_OPEN],
  },
  {
    name: 'reads are sent again without end',
    breaks: 'rule 44',
    file: 'src/isolation/retry-budget.ts',
    find: 'if (this.#left(isLoss) >= 1) {',
    replace: 'if (this.#left(isLoss) >= Number.NEGATIVE_INFINITY) {',
    tests: [BUDGET, RETRIES],
  },
  {
    name: 'what was saved up in quiet times is spent on top of what a storm brings',
    breaks: 'rule 44',
    file: 'src/isolation/retry-budget.ts',
    find: '      drawn += bucket.drawn;',
    replace: '      drawn = this.#current.drawn;',
    tests: [BUDGET],
  },
  {
    name: 'the loss of one server exhausts the budget',
    breaks: 'rule 44',
    file: 'src/isolation/retry-budget.ts',
    find: 'return base + (isLoss ? peak : 0) - drawn;',
    replace: 'return base - drawn;',
    tests: [BUDGET, RETRIES],
  },
  {
    name: 'a read on a shared connection runs again whatever the budget says',
    breaks: 'rule 44',
    file: 'src/execute/read-on-lane.ts',
    find: '(isOfReplica || isLost) && mayRunAgain(request, error, isLost)',
    replace: 'isOfReplica || isLost',
    tests: ['test/unit/execute/read-on-lane.test.ts'],
  },
  {
    name: 'a replica that refuses connections is asked for one by every read',
    breaks: 'rule 44',
    file: 'src/nodes/refusals.ts',
    find: '    this.#heldBackCount++;\n    return true;',
    replace: '    return false;',
    tests: ['test/unit/nodes/refusals.test.ts', RETRIES],
  },
];
