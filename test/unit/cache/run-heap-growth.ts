import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const script = fileURLToPath(new URL('heap-growth.ts', import.meta.url));

/** What `heap-growth.ts` measures in a process of its own. */
export async function heapGrowth<Growth>(...args: (string | number)[]): Promise<Growth> {
  const { stdout } = await run(process.execPath, ['--expose-gc', '--import', 'tsx', script, ...args.map(String)], {
    cwd: root,
  });
  return JSON.parse(stdout) as Growth;
}
