/** Faults in what `auto` takes for worth keeping, and in what it gives without being asked for. */
import type { Mutation } from './mutation.js';

const COURSE = 'test/unit/cache/auto-course.test.ts';
const WATCHED = 'test/unit/cache/watched.test.ts';
const SAMPLER = 'test/unit/cache/auto-sampler.test.ts';
const AUTO = 'test/behaviour/cache/auto.test.ts';
const ISSUE = 'issue 26.1';

export const auto: readonly Mutation[] = [
  {
    name: "'observe' gives answers that nobody has asked to be kept",
    breaks: ISSUE,
    file: 'src/cache/auto-course.ts',
    find: '  if (!mayServe) return FIRST_COURSE;\n',
    replace: '',
    tests: [COURSE, AUTO],
  },
  {
    name: 'answers are given before it was compared once more what they would have shown',
    breaks: ISSUE,
    file: 'src/cache/auto-course.ts',
    find: 'const SHADOW_WEIGHINGS = 3;',
    replace: 'const SHADOW_WEIGHINGS = 1;',
    tests: [COURSE],
  },
  {
    name: 'what changes all the time is kept, since it would save much',
    breaks: ISSUE,
    file: 'src/cache/auto-course.ts',
    find: "  if (comparisons.differedCount >= DIFFERING && comparisons.agreement < bar.agreement) return 'changing';\n",
    replace: '',
    tests: [COURSE, AUTO],
  },
  {
    name: 'what has begun to change all the time is given for ever',
    breaks: ISSUE,
    file: 'src/cache/auto-course.ts',
    find: 'return perMilli === undefined ? 1 : 1 - staleShareOf(perMilli, intervalMillis);',
    replace: 'return perMilli === undefined ? 1 : 1 - 0 * staleShareOf(perMilli, intervalMillis);',
    tests: [COURSE, AUTO],
  },
  {
    name: 'texts that are written anew hide what comes again among them',
    breaks: ISSUE,
    file: 'src/cache/auto-course.ts',
    find: "const isAnew = verdict !== 'pays' && verdict !== 'changing' && ",
    replace: 'const isAnew = ',
    tests: [COURSE],
  },
  {
    name: 'keys that come once fill the memory',
    breaks: ISSUE,
    file: 'src/cache/auto.ts',
    find: 'return this.#watched.hasSeenKey(key) && this.#watched.keyOf(key)?.isExcluded !== true;',
    replace: 'return this.#watched.keyOf(key)?.isExcluded !== true;',
    tests: [AUTO],
  },
  {
    name: "a call's `cache: false` counts as if it had said nothing",
    breaks: ISSUE,
    file: 'src/cache/rung.ts',
    find: 'const isAsked = (options?.cache ?? scope.cache) !== undefined;',
    replace: 'const isAsked = (options?.cache || scope.cache || undefined) !== undefined;',
    tests: [AUTO],
  },
  {
    name: 'what a rule says is left to auto',
    breaks: ISSUE,
    file: 'src/cache/rung.ts',
    find: 'return isAsked || known.rule !== undefined ?',
    replace: 'return isAsked ?',
    tests: [AUTO],
  },
  {
    name: 'answers that nobody has asked for are as old as they like',
    breaks: ISSUE,
    file: 'src/cache/terms.ts',
    find: 'return { maxStalenessMillis, staleIfErrorMillis: 0, scope: undefined, tables: NONE, tags: NONE };',
    replace:
      'return { maxStalenessMillis: 10 * maxStalenessMillis, staleIfErrorMillis: 0, scope: undefined, tables: NONE, tags: NONE };',
    tests: [COURSE],
  },
  {
    name: 'a statement whose place another one has is served on, and never weighed again',
    breaks: ISSUE,
    file: 'src/cache/watched.ts',
    find: "return this.#course.state === 'serving' && !this.#isDropped;",
    replace: "return this.#course.state === 'serving' || this.#isDropped;",
    tests: [WATCHED],
  },
  {
    name: 'one key that changes all the time speaks for the others of its statement',
    breaks: ISSUE,
    file: 'src/cache/watched.ts',
    find: '    if (!wasExcluded) statement.evidence.comparisons.add(isSame);',
    replace: '    statement.evidence.comparisons.add(isSame);',
    tests: [WATCHED],
  },
  {
    name: 'more is read anew in the background than is given',
    breaks: ISSUE,
    file: 'src/cache/watched.ts',
    find: 'const HITS_PER_REFRESH = 10;',
    replace: 'const HITS_PER_REFRESH = 1;',
    tests: [WATCHED],
  },
  {
    name: 'two values that say nothing of themselves count as the same',
    breaks: ISSUE,
    file: 'src/cache/content-mark.ts',
    find: ' || rows.some(hasOpaque)',
    replace: '',
    tests: [SAMPLER],
  },
];
