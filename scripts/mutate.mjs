// `npm run mutate`: plants each fault of test/mutations into a copy of what is committed, one at a time, and says which
// test finds it. Fails when one survives, or when its place is not found any more. Nothing is changed here.
//   --only <part of a name, file or rule>   may be given several times
//   --check                                 looks only whether every place is found
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutations } from '../test/mutations/index.ts';
import { finderIn, planted } from './mutation.mjs';

/** A test file that takes longer hangs: that is found, too. */
const PATIENCE_MILLIS = 180_000;
const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: { only: { type: 'string', multiple: true, default: [] }, check: { type: 'boolean', default: false } },
});
const isAsked = ({ name, breaks, file }) =>
  values.only.length === 0 || values.only.some((part) => [name, file].some((s) => s.includes(part)) || breaks === part);
const asked = mutations.filter(isAsked);
const lost = asked.filter(
  (mutation) => planted(readFileSync(join(root, mutation.file), 'utf8'), mutation) === undefined,
);
for (const { name, file } of lost)
  console.log(`NOT FOUND  ${name}\n           its place in ${file} is gone, or there twice`);
if (values.check || asked.length === 0) {
  console.log(`${asked.length - lost.length} of ${asked.length} places found`);
  process.exit(lost.length > 0 || asked.length === 0 ? 1 : 0);
}

const folder = mkdtempSync(join(tmpdir(), 'pg-ladder-mutate-'));
const copy = join(folder, 'copy');
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const reportPath = join(folder, 'report.json');
let running;
let isStopped = false;

function cleanUp() {
  // `git worktree remove` would follow the link
  rmSync(join(copy, 'node_modules'), { force: true });
  rmSync(folder, { recursive: true, force: true });
  execFileSync('git', ['worktree', 'prune'], { cwd: root });
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    isStopped = true;
    running?.kill('SIGTERM');
  });
}

/** Runs one test file in the copy. @returns who has found something; `undefined` when nobody has */
async function finder(file) {
  rmSync(reportPath, { force: true });
  const env = { ...process.env, TEST_REPORT: reportPath };
  const args = ['run', file, '--bail=1', '--testTimeout=15000', '--hookTimeout=30000'];
  running = spawn(process.execPath, [vitest, ...args], { cwd: copy, env, stdio: 'ignore' });
  let hasHung = false;
  const giveUp = setTimeout(() => {
    hasHung = true;
    running.kill('SIGTERM');
  }, PATIENCE_MILLIS);
  await new Promise((resolve) => running.once('exit', resolve));
  clearTimeout(giveUp);
  if (hasHung) return 'it does not come to its end';
  try {
    return finderIn(JSON.parse(readFileSync(reportPath, 'utf8')));
  } catch {
    return undefined;
  }
}

let foundCount = 0;
let survivorCount = 0;
try {
  execFileSync('git', ['worktree', 'add', '--quiet', '--detach', copy, 'HEAD'], { cwd: root });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
  for (const [index, mutation] of asked.entries()) {
    const { name, breaks, file, tests } = mutation;
    const whole = readFileSync(join(copy, file), 'utf8');
    const broken = planted(whole, mutation);
    if (broken === undefined || isStopped) continue;
    const startedAt = performance.now();
    writeFileSync(join(copy, file), broken);
    let found;
    for (const test of tests) {
      found = isStopped ? undefined : await finder(test);
      if (found !== undefined) {
        found = `${test}: ${found}`;
        break;
      }
    }
    writeFileSync(join(copy, file), whole);
    if (isStopped) break;
    if (found === undefined) survivorCount++;
    else foundCount++;
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    const progress = `${index + 1}/${asked.length}`.padStart(7);
    console.log(`${progress}  ${found === undefined ? 'SURVIVED' : 'found'}  ${breaks}: ${name} (${seconds} s)`);
    console.log(`         ${found ?? `by none of ${tests.join(', ')}`}`);
  }
} finally {
  cleanUp();
}
const figures = `${foundCount} found, ${survivorCount} survived, ${lost.length} without their place`;
console.log(`\n${figures}${isStopped ? ', stopped' : ''}`);
process.exitCode = isStopped ? 130 : survivorCount + lost.length > 0 ? 1 : 0;
