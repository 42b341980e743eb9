/** Runs a small app that somebody observes, over the packed library in its folder, and reads what it tells. */
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestCluster } from '../../src/testing/index.js';

const execute = promisify(execFile);
const MARK = 'outcome: ';

/** @param test the test's own file: the app is in the folder of it */
export async function outcomeOf(
  test: string,
  servers: TestCluster,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  binary: string = process.execPath,
): Promise<unknown> {
  const { stdout, stderr } = await execute(binary, args, {
    cwd: dirname(fileURLToPath(test)),
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      PRIMARY_URL: servers.primary.connectionString,
      REPLICA_URL: servers.replicas[0]?.connectionString,
      ...env,
    },
    maxBuffer: 2 ** 26,
  });
  const line = stdout.split('\n').find((each) => each.startsWith(MARK));
  if (line === undefined) throw new Error(`told no outcome:\n${stdout}${stderr}`);
  return JSON.parse(line.slice(MARK.length));
}
