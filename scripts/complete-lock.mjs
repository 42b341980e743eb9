// Completes package-lock.json with the optional packages of the platforms that are not this one.
//
// npm 11 leaves them out of the lock when the registry does not serve them, and then `npm ci` refuses its own lock
// ("Missing: … from lock file"). What is missing is known without asking anybody: the parent's manifest in the lock
// gives name and version, and the name of a platform package says which platform it is for. Nothing but the registry
// knows its checksum: npm is asked again for what has none, and what it still leaves out is told.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The library's own, or that of a folder below: `npm run lock -- test/compat/bullmq`. */
const root = new URL(`../${process.argv[2] ?? '.'}/`, import.meta.url);
const file = new URL('package-lock.json', root);
const read = () => JSON.parse(readFileSync(file, 'utf8'));
const write = (lock) => writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);

/** npm keeps an entry that it finds as it is: what this script has added is found out anew. */
function withoutAdded(lock) {
  const kept = Object.entries(lock.packages).filter(
    ([path, { integrity, optional, os, link }]) =>
      path === '' || link || integrity !== undefined || !optional || os === undefined,
  );
  return { ...lock, packages: Object.fromEntries(kept) };
}

const before = read();
write(withoutAdded(before));
const { status } = spawnSync('npm', ['install', '--package-lock-only', '--ignore-scripts'], {
  cwd: fileURLToPath(root),
  stdio: 'inherit',
  shell: process.platform === 'win32',
});
if (status !== 0) {
  write(before);
  console.error('npm install --package-lock-only failed: package-lock.json is as it was');
  process.exit(1);
}
const lock = read();
const { packages } = lock;

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const cpus = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];

/** `os`, `cpu` and `libc` of a platform package, read off its name: `@rollup/rollup-linux-arm64-musl`. */
function platformOf(name) {
  const words = name.split(/[/@-]/);
  const os = words.map((word) => (word === 'windows' ? 'win32' : word)).filter((word) => systems.includes(word));
  const cpu = words.filter((word) => cpus.includes(word));
  if (os.length !== 1 || cpu.length > 1)
    throw new Error(`${name} does not name one platform: add it to the lock by hand`);
  if (cpu.length === 0) return { os };
  if (os[0] !== 'linux') return { os, cpu };
  if (words.some((word) => word.startsWith('musl'))) return { os, cpu, libc: ['musl'] };
  if (words.some((word) => word.startsWith('gnu'))) return { os, cpu, libc: ['glibc'] };
  return { os, cpu };
}

/** Where Node would find `name` from `path`: the nearest node_modules upwards that has it. */
function lookUp(path, name) {
  for (let from = path; ; from = from.slice(0, from.lastIndexOf('node_modules/')).replace(/\/$/, '')) {
    const found = `${from === '' ? '' : `${from}/`}node_modules/${name}`;
    if (packages[found]?.version !== undefined) return found;
    if (from === '') return undefined;
  }
}

/** As far as the ranges go that platform packages are asked for with: one version, or what is compatible with one. */
function satisfies(version, range, exact) {
  if (exact === undefined) return true;
  return range === exact ? version === range : version.split('.')[0] === exact.split('.')[0];
}

for (const [path, parent] of Object.entries(packages)) {
  for (const [name, range] of Object.entries(parent.optionalDependencies ?? {})) {
    const exact = /^[~^=]?(\d+\.\d+\.\d+(?:-[\w.-]+)?)$/.exec(range)?.[1];
    const found = lookUp(path, name);
    if (found !== undefined && satisfies(packages[found].version, range, exact)) continue;
    if (exact === undefined)
      throw new Error(`${name}@${range}, wanted by ${path}: no version to be read off the range`);
    const at = found === undefined ? `node_modules/${name}` : `${path}/node_modules/${name}`;
    const { os, cpu, libc } = platformOf(name);
    // in npm's own order of keys, so that its next write changes nothing
    packages[at] = {
      version: exact,
      ...(cpu ? { cpu } : {}),
      ...(parent.dev ? { dev: true } : {}),
      ...(libc ? { libc } : {}),
      ...(parent.license ? { license: parent.license } : {}),
      optional: true,
      os,
      ...(parent.engines ? { engines: parent.engines } : {}),
    };
  }
}

lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en')));
write(lock);
const unchecked = Object.entries(packages).filter(([path, { integrity, link }]) => path !== '' && !link && !integrity);
console.log(
  unchecked.length === 0
    ? 'every package of package-lock.json has its checksum'
    : `without a checksum, which the registry does not tell:\n  ${unchecked.map(([path]) => path).join('\n  ')}`,
);
