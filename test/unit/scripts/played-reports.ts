/** Reports of test runs as `scripts/test-report.mjs` writes them, made up. */

import type { Failure, FileReport, RunReport, TestReport } from '../../../scripts/test-report.mjs';

const error = (name: string, message: string, code?: string): Failure => ({
  name,
  ...(code === undefined ? {} : { code }),
  message,
  stack: `${name}: ${message}\n    at somewhere`,
});

export const STALE = error('AssertionError', "expected 'old' to be 'new' // Object.is equality");
export const TIMED_OUT = error('Error', 'Test timed out in 30000ms.\nIf this is a long-running test, pass a timeout …');
export const PORT_TAKEN = error('Error', 'listen EADDRINUSE: address already in use 127.0.0.1:5432', 'EADDRINUSE');
export const START_FAILED = error('TestBackendError', 'Server replica1 did not start.', 'LADDER_TEST_START_FAILED');

const ended =
  (state: string) =>
  (name: string, ...failures: Failure[]): TestReport => ({ name, state, durationMillis: 1, failures });

export const passed = ended('passed');
export const failed = ended('failed');
export const skipped = ended('skipped');

export function file(name: string, tests: TestReport[], more: Partial<FileReport> = {}): FileReport {
  return { file: name, durationMillis: 1, failures: [], suites: [], tests, ...more };
}

export function run(...files: FileReport[]): RunReport {
  return { unhandled: [], files };
}
