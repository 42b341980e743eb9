/** Faults in what keeps bad queries away from good ones: transactions that are held open, and statements that are sent again. */
import type { Mutation } from './mutation.js';

const WATCH = 'test/unit/isolation/transaction-watch.test.ts';
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
];
