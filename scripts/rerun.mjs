// Decides which failures of a test run may have come from a busy machine, and what counts after these ran once more.
// Only three kinds do: a server of the test backend that did not start, a port that was taken, and a test or hook
// that took too long. An assertion is never among them, whatever its text quotes.

/** @import { Failure, FileReport, RunReport } from './test-report.mjs' */

/**
 * What runs once more: a test or all of a suite by its full name, or a whole file.
 * @typedef {{ file: string, kind: 'test' | 'suite' | 'file', name: string }} Rerun
 */

/** More than that is no chance: then all of it stands as it is. */
export const MOST_RERUNS = 10;

const TIMED_OUT = /^(Test|Hook) timed out in \d+ms\./;
const PORT_TAKEN = /^(listen|bind) EADDRINUSE: /;

/** @param {Failure} failure */
export function mayBeChance({ name, code, message }) {
  if (name === 'TestBackendError') return code === 'LADDER_TEST_START_FAILED';
  if (name !== 'Error') return false;
  return TIMED_OUT.test(message) || (code === 'EADDRINUSE' && PORT_TAKEN.test(message));
}

/**
 * The tests, suites and files to run once more, each alone. None of them when other failures are among theirs.
 * @param {RunReport} report
 * @returns {Rerun[]}
 */
export function rerunsOf({ unhandled, files }) {
  // an error outside of all tests belongs to nobody: it could be anybody's
  if (unhandled.length > 0) return [];
  const reruns = files.flatMap(({ file, failures, suites, tests }) => {
    if (failures.length > 0) {
      const all = [...failures, ...suites.flatMap((s) => s.failures), ...tests.flatMap((t) => t.failures)];
      return all.every(mayBeChance) ? [rerun(file, 'file', file)] : [];
    }
    const within = (suite) => tests.filter((test) => test.name.startsWith(`${suite.name} `));
    const again = suites.filter((suite) =>
      [...suite.failures, ...within(suite).flatMap((test) => test.failures)].every(mayBeChance),
    );
    const inSuites = new Set(suites.flatMap(within));
    const alone = tests.filter((test) => isFailed(test) && !inSuites.has(test) && test.failures.every(mayBeChance));
    return [
      ...again.map(({ name }) => rerun(file, 'suite', name)),
      ...alone.map(({ name }) => rerun(file, 'test', name)),
    ];
  });
  return reruns.length > MOST_RERUNS ? [] : reruns;
}

/** @returns {Rerun} */
function rerun(file, kind, name) {
  return { file, kind, name };
}

function isFailed({ state, failures }) {
  return state === 'failed' && failures.length > 0;
}

/**
 * What vitest is told, beside the mode.
 * @param {Rerun} rerun
 */
export function argumentsOf({ file, kind, name }) {
  const pattern = `^${name.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}${kind === 'suite' ? ' ' : '$'}`;
  return kind === 'file' ? [file] : [file, '--testNamePattern', pattern];
}

/**
 * The report with what ran once more in place of what failed, if all of it passed.
 * @param {RunReport} report
 * @param {Rerun} rerun
 * @param {RunReport | undefined} second what came of it; nothing when it left no report
 * @returns {{ report: RunReport, passed: boolean }}
 */
export function withRerun(report, { file, kind, name }, second) {
  const again = second?.files.find((f) => f.file === file);
  const ran = again?.tests.filter(({ state }) => state !== 'skipped') ?? [];
  const passed = ran.length > 0 && failuresOf(/** @type {RunReport} */ (second)).length === 0;
  if (!passed) return { report, passed };
  const byName = new Map(ran.map((test) => [test.name, test]));
  const files = report.files.map((/** @type {FileReport} */ first) => {
    if (first.file !== file) return first;
    const suites = first.suites.filter((suite) => kind === 'test' || (kind === 'suite' && !isIn(name, suite.name)));
    const tests = first.tests.map((test) => byName.get(test.name) ?? test);
    return kind === 'file' ? /** @type {FileReport} */ (again) : { ...first, suites, tests };
  });
  return { report: { ...report, files }, passed };
}

function isIn(outer, name) {
  return name === outer || name.startsWith(`${outer} `);
}

/**
 * Each failure with its place, one for each test, suite hook, file and error outside of them.
 * @param {RunReport} report
 * @returns {{ where: string, failures: Failure[] }[]}
 */
export function failuresOf({ unhandled, files }) {
  return [
    ...unhandled.map((failure) => ({ where: 'outside of all tests', failures: [failure] })),
    ...files.flatMap(({ file, failures, suites, tests }) => [
      ...(failures.length > 0 ? [{ where: file, failures }] : []),
      ...suites.map((suite) => ({ where: `${file}\n  ${suite.name}`, failures: suite.failures })),
      ...tests
        .filter(({ state }) => state === 'failed')
        .map((test) => ({ where: `${file}\n  ${test.name}`, failures: test.failures })),
    ]),
  ];
}
