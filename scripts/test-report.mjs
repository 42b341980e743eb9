// Writes down how each test, suite and file of a run ended, with every error by its name, code and message.
// vitest's own JSON report shows no hook that failed, no error outside of tests, and a time-out only as a stack.
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';

/**
 * @typedef {{ name: string, code?: string, message: string, stack: string }} Failure
 * @typedef {{ name: string, state: string, durationMillis: number, failures: Failure[] }} TestReport
 * @typedef {{ file: string, durationMillis: number, failures: Failure[],
 *   suites: { name: string, failures: Failure[] }[], tests: TestReport[] }} FileReport
 * @typedef {{ unhandled: Failure[], files: FileReport[] }} RunReport
 */

/** @returns {Failure} */
function failure({ name = 'Error', code, message = '', stack = '' }) {
  return { name, ...(typeof code === 'string' ? { code } : {}), message, stack };
}

/** @returns {FileReport} */
function fileReport(module, root) {
  const nameOf = ({ parent, name }) => (parent?.type === 'suite' ? `${nameOf(parent)} ${name}` : name);
  const suites = [...module.children.allSuites()].map((suite) => ({
    name: nameOf(suite),
    failures: suite.errors().map(failure),
  }));
  const tests = [...module.children.allTests()].map((test) => {
    const { state, errors = [] } = test.result();
    return {
      name: nameOf(test),
      state,
      durationMillis: test.diagnostic()?.duration ?? 0,
      failures: errors.map(failure),
    };
  });
  return {
    file: relative(root, module.moduleId),
    durationMillis: module.diagnostic().duration,
    failures: module.errors().map(failure),
    suites: suites.filter(({ failures }) => failures.length > 0),
    tests,
  };
}

/** A reporter for vitest that writes a RunReport to `path` when the run has ended. */
export function testReport(path, root = process.cwd()) {
  return {
    onTestRunEnd(modules, unhandled) {
      const report = { unhandled: unhandled.map(failure), files: modules.map((module) => fileReport(module, root)) };
      writeFileSync(path, JSON.stringify(report));
    },
  };
}
