// Which test files share a process, and in which order files run. To start a process and to load the library costs
// more than most unit tests do. A file that changes what others see of the process has one of its own.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { BaseSequencer } from 'vitest/node';

/** Folders whose tests start no servers. */
const SHARING = ['test/unit', 'test/house', 'test/fuzz'];

/** What a test says that leaves its process different: modules that are replaced, played time, globals. */
const CHANGES_PROCESS = /\bvi\.(mock|doMock|resetModules|useFakeTimers|stub\w+)\(|\bprocess\.(on|once)\(/;

/** The files that take longest, the longest first: with them at the start, both workers end together. */
const LONGEST = [
  'test/faults/health.test.ts',
  'test/cli/demo.test.ts',
  'test/examples/examples.test.ts',
  'test/behaviour/balancing/keys.test.ts',
  'test/simulation/simulation.test.ts',
  'test/faults/failover.test.ts',
  'test/cli/explain.test.ts',
  'test/behaviour/balancing/slow-replicas.test.ts',
  'test/faults/replica-lost.test.ts',
  'test/faults/lane.test.ts',
  'test/behaviour/lane/not-sharing.test.ts',
  'test/testing/watchdog.test.ts',
  'test/behaviour/lifetime.test.ts',
  'test/behaviour/hostile-names.test.ts',
  'test/behaviour/http-processes.test.ts',
  'test/behaviour/pool-contract/ending-clients.test.ts',
  'test/behaviour/pool-contract/failures.test.ts',
];

/**
 * The test files that may share a process, relative to `root`: those that start no servers.
 *
 * @param {string} root
 * @returns {string[]}
 */
export function sharingFiles(root) {
  return SHARING.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((file) => {
        return file.endsWith('.test.ts') && !CHANGES_PROCESS.test(readFileSync(join(root, file), 'utf8'));
      }),
  );
}

/** Runs the longest files first, and those that share a process last: they are many and short. */
export class LongestFirst extends BaseSequencer {
  /** @param {import('vitest/node').TestSpecification[]} files */
  async sort(files) {
    const rank = ({ moduleId, project }) => {
      const place = LONGEST.indexOf(relative(project.config.root, moduleId));
      if (project.config.isolate) return place === -1 ? LONGEST.length : place;
      return LONGEST.length + 1;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
