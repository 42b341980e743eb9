import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** What each example must print; one that is missing here fails. */
const shown: Record<string, RegExp> = {
  'quickstart.ts': /→ primary \(write\)[\s\S]*→ r1 [\s\S]*read back: Ada[\s\S]*next request: Ada/,
};

describe('the examples', () => {
  it.each(readdirSync(new URL('../../examples', import.meta.url)))('%s runs and shows what it says', async (name) => {
    const { stdout } = await run(process.execPath, ['--import', 'tsx', `examples/${name}`], {
      cwd: root,
      timeout: 25_000,
    });
    expect(stdout).toMatch(shown[name] as RegExp);
  });
});
