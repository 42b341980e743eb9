// Plants a fault into a text, and judges by a report whether the tests have found it. Pure.

/** @import { RunReport } from './test-report.mjs' */

/** What a file says when the fault does not even load: that is no test's merit. */
const UNLOADABLE = /^(SyntaxError|ReferenceError)$|Transform failed|PARSE_ERROR/;

/**
 * The text with the fault in it; `undefined` where its place is not there, or not once.
 * @param {string} text
 * @param {{ find: string, replace: string }} mutation
 */
export function planted(text, { find, replace }) {
  const at = text.indexOf(find);
  if (at < 0 || text.indexOf(find, at + 1) >= 0) return undefined;
  return text.slice(0, at) + replace + text.slice(at + find.length);
}

/**
 * The first test, or hook, that failed; `undefined` when all passed.
 * @param {RunReport} report
 * @returns {string | undefined}
 */
export function finderIn({ files }) {
  for (const { failures, suites, tests } of files) {
    const test = tests.find(({ state }) => state === 'failed');
    if (test !== undefined) return test.name;
    if (suites.length > 0) return `${suites[0]?.name}: its set-up`;
    const [failure] = failures;
    if (
      failure !== undefined &&
      !UNLOADABLE.test(`${failure.name}: ${failure.message}`) &&
      !UNLOADABLE.test(failure.name)
    )
      return 'the set-up of the file';
  }
  return undefined;
}
