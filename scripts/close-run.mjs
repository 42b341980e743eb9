// Ends `.ci/run`: runs once more what may have failed by chance, and closes with "N passed, N failed".
// `node scripts/close-run.mjs <folder of the reports> <step that failed> ...`; needs nothing but Node.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { argumentsOf, failuresOf, rerunsOf, withRerun } from './rerun.mjs';

/** The steps that leave a report, and what vitest is told in each. */
const MODES = {
  tests: [],
  'lane-off': ['--mode', 'lane-off'],
  compat: ['--mode', 'compat'],
  docs: ['--mode', 'docs'],
};
/** The steps whose tests are counted: the others run the same tests once more, or other projects' tools. */
const COUNTED = ['tests', 'docs'];

const [folder = '.', ...failedSteps] = process.argv.slice(2);
const flaky = [];
const reports = Object.entries(MODES).map(([step, mode]) => [step, settled(step, mode, read(step))]);

function read(name) {
  try {
    return JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
  } catch {
    console.log(`${name} left no report`);
    return undefined;
  }
}

/** The report of a step once what may have been chance has run again. */
function settled(step, mode, first) {
  let report = first;
  for (const [index, rerun] of (first === undefined ? [] : rerunsOf(first)).entries()) {
    console.log(`\n==> once more, alone: ${rerun.name}`);
    const name = `${step}-again-${index}`;
    const env = { ...process.env, TEST_REPORT: join(folder, `${name}.json`) };
    const { status } = spawnSync('npx', ['vitest', 'run', ...mode, ...argumentsOf(rerun)], { stdio: 'inherit', env });
    const second = withRerun(report, rerun, status === 0 ? read(name) : undefined);
    report = second.report;
    if (second.passed) flaky.push({ step, name: rerun.name });
  }
  return report;
}

const counted = reports.filter(([step]) => COUNTED.includes(step));
const statesOf = ([, report]) => report?.files.flatMap(({ tests }) => tests) ?? [];
const states = counted.flatMap(statesOf);
const passed = states.filter(({ state }) => state === 'passed').length;
const skipped = states.filter(({ state }) => state === 'skipped').length;
// each of them has to show that it ran
const isAnyWithout = counted.some((one) => !statesOf(one).some(({ state }) => state === 'passed'));
const failures = reports.flatMap(([, report]) => (report === undefined ? [] : failuresOf(report)));
// a step that failed with nothing in its report to show for it is a failure too, and so is a run without any test
const unexplained = failedSteps.filter((step) => !flaky.some((one) => one.step === step));
const failed = failures.length || Math.max(unexplained.length, isAnyWithout ? 1 : 0);

// what failed stands at the end, where a log that was cut still has it
for (const { where, failures: those } of failures) {
  console.log(`\nFAILED ${where}\n${those.map(({ stack, message }) => stack || message).join('\n')}`);
}
for (const { name } of flaky) console.log(`flaky: ${name}`);
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
