// Installs the tools of test/compat, or of the rooms and folders that are named, each into a folder of its own
// from its own lock, so that npm ci of the library stays light: `node scripts/install-compat.mjs test/matrix/vite`.
// Where a folder's package.json says "pgLadder": "packed", the packed tarball is put beside them, as npm would do.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const named = process.argv.slice(2);
const hasPackages = (folder) => existsSync(join(root, folder, 'package.json'));
const folders = (named.length === 0 ? ['test/compat'] : named).flatMap((folder) =>
  hasPackages(folder)
    ? [folder]
    : readdirSync(join(root, folder))
        .map((name) => `${folder}/${name}`)
        .filter(hasPackages),
);

const manifestIn = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

function run(command, args, folder, what) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (status === 0) return stdout;
  console.error(`${what} failed`);
  process.exit(1);
}

for (const folder of folders) {
  // What npm writes last: there once the packages are.
  if (existsSync(join(root, folder, 'node_modules/.package-lock.json'))) continue;
  console.log(`installing into ${folder}...`);
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  run('npm', args, join(root, folder), `npm ci in ${folder}`);
}

const packed = folders.filter((folder) => manifestIn(join(root, folder)).pgLadder === 'packed');
if (packed.length > 0) {
  console.log('packing the library...');
  const temporary = mkdtempSync(join(tmpdir(), 'pg-ladder-pack-'));
  const args = ['pack', '--silent', '--pack-destination', temporary];
  const name = run('npm', args, root, 'npm pack').trim().split('\n').at(-1);
  for (const folder of packed) unpack(join(temporary, name), folder);
  rmSync(temporary, { recursive: true });
}

function unpack(tarball, folder) {
  const packages = join(root, folder, 'node_modules');
  const target = join(packages, 'pg-ladder');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
  run('tar', ['-xzf', tarball, '--strip-components=1', '-C', target], root, `unpacking into ${folder}`);
  // npm is not asked: what the library depends on stands in the folder's own lock.
  for (const [dependency, version] of Object.entries(manifestIn(target).dependencies)) {
    const found = existsSync(join(packages, dependency)) ? manifestIn(join(packages, dependency)).version : 'none';
    if (found === version) continue;
    console.error(`${folder} has ${dependency} ${found}: its package.json has to ask for ${version}`);
    process.exit(1);
  }
}
