// Which test files share a process, and in which order files run. To start a process and to load the library costs
// more than most unit tests do. A file that changes what others see of the process has one of its own.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { BaseSequencer } from 'vitest/node';

/** Folders whose tests start no servers. */
const SHARING = ['test/unit', 'test/house', 'test/fuzz'];

/** Folders whose tests start servers of their own, and leave nothing of them in the process. */
const SHARING_WITH_SERVERS = ['test/behaviour'];

/** What a test says that leaves its process different: modules that are replaced, played time, globals. */
const CHANGES_PROCESS = /\bvi\.(mock|doMock|resetModules|useFakeTimers|stub\w+)\(|\bprocess\.(on|once)\(/;

/** What a test says that looks at all of its process, or is to tell what a process does that is fresh. */
const LOOKS_AT_PROCESS =
  /\bvi\.spyOn\(|\bprocess\.(memoryUsage|cpuUsage|getActiveResourcesInfo|listeners|emitWarning)\(|expose.gc|NODE_ENV/;

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
  return testsWithout(root, SHARING, [CHANGES_PROCESS]);
}

/**
 * The test files with servers of their own that may share a process, relative to `root`. Those that take longest are
 * none of them: they begin before all others.
 *
 * @param {string} root
 * @returns {string[]}
 */
export function sharingFilesWithServers(root) {
  const files = testsWithout(root, SHARING_WITH_SERVERS, [CHANGES_PROCESS, LOOKS_AT_PROCESS]);
  return files.filter((file) => !LONGEST.includes(file));
}

/** The test files in `folders` that say nothing of all that. */
function testsWithout(root, folders, unsaid) {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((file) => {
        if (!file.endsWith('.test.ts')) return false;
        const text = readFileSync(join(root, file), 'utf8');
        return unsaid.every((said) => !said.test(text));
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
      return LONGEST.length + (project.name === 'sharing' ? 2 : 1);
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
