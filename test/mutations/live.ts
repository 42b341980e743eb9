/** Faults in what watchers are shown. */
import type { Mutation } from './mutation.js';

const WATCH = 'test/behaviour/live/watch.test.ts';
const LIMITS = 'test/behaviour/live/watch-limits.test.ts';
const INDEX = 'test/unit/live/wake-index.test.ts';
const FAULTS = 'test/faults/live/watch.test.ts';

export const live: readonly Mutation[] = [
  {
    name: 'a change wakes nobody',
    breaks: 'rule 43',
    file: 'src/live/live-queries.ts',
    find: 'else this.#index.concerned(changes, (query) => query.wake(position));',
    replace: '',
    tests: [WATCH],
  },
  {
    name: 'what changed in a gap is never shown',
    breaks: 'rule 43',
    file: 'src/live/live-queries.ts',
    find: 'began: (position: ChangePosition): void => this.#wakeAll(position),',
    replace: 'began: (position: ChangePosition): void => void position,',
    tests: [FAULTS],
  },
  {
    name: 'a server answers that does not have the change',
    breaks: 'rule 43',
    file: 'src/live/live-query.ts',
    find: 'if (asked !== undefined) this.#claim(asked);',
    replace: '',
    tests: [WATCH],
  },
  {
    name: 'a state that is too old stays',
    breaks: 'rule 43',
    file: 'src/live/live-query.ts',
    find: 'else if (!this.#isGraced) this.#isGraced = true;',
    replace: 'else if (this.#boundMillis > 0) this.#isGraced = true;',
    tests: [WATCH],
  },
  {
    name: 'a change of one row wakes all who watch another',
    breaks: 'issue 26.2',
    file: 'src/live/wake-index.ts',
    find: 'if (keyColumns === undefined || keys === undefined) {',
    replace: 'if (keyColumns !== undefined || keys === undefined) {',
    tests: [INDEX],
  },
  {
    name: 'equal queries run each for itself',
    breaks: 'issue 26.2',
    file: 'src/live/subject.ts',
    find: 'maxStalenessMillis ?? null]);',
    replace: 'maxStalenessMillis ?? null, Math.random()]);',
    tests: [WATCH],
  },
  {
    name: 'the same content is given again',
    breaks: 'issue 26.2',
    file: 'src/live/live-query.ts',
    find: '(isSame ? 0 : 1)',
    replace: '1',
    tests: [WATCH],
  },
  {
    name: 'a write counts as shown before it is',
    breaks: 'issue 26.2',
    file: 'src/live/watching.ts',
    find: 'return state.shows(position);',
    replace: 'return true;',
    tests: [WATCH],
  },
  {
    name: 'a new watcher is shown less than its session wrote',
    breaks: 'rule 1',
    file: 'src/live/live-queries.ts',
    find: 'if (mustShow !== undefined && query.state?.shows(mustShow) !== true) query.require(mustShow);',
    replace: '',
    tests: [WATCH],
  },
  {
    name: 'what may write is watched',
    breaks: 'issue 26.2',
    file: 'src/live/subject.ts',
    find: 'if (!isRead) return MAY_WRITE;',
    replace: '',
    tests: [LIMITS],
  },
  {
    name: 'a watch outlives its cluster',
    breaks: 'issue 26.2',
    file: 'src/live/live-queries.ts',
    find: 'for (const watch of this.#watches) watch.end();',
    replace: '',
    tests: [LIMITS],
  },
];
