// Installs the tools that test/compat runs through cluster.pool(), each into a folder of its own from its own lock, so that npm ci of the library stays light.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../test/compat/', import.meta.url);
const tools = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(new URL(`${entry.name}/package.json`, root)))
  .map(({ name }) => name);

for (const tool of tools) {
  const folder = new URL(`${tool}/`, root);
  // What npm writes last: there once the packages are.
  if (existsSync(new URL('node_modules/.package-lock.json', folder))) continue;
  console.log(`installing ${tool} into test/compat/${tool}...`);
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: fileURLToPath(folder),
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (status !== 0) {
    console.error(`npm ci in test/compat/${tool} failed`);
    process.exit(1);
  }
}
