/**
 * Before the tests: builds the site, without network where this machine lets a process do without, and makes Prisma's
 * client of the schema that the pages stand for.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

const root = fileURLToPath(new URL('../..', import.meta.url));
const docs = join(root, 'docs');

export interface Build {
  readonly output: string;
  readonly succeeded: boolean;
  /** Whether the build could reach no host but itself. */
  readonly isOffline: boolean;
}

declare module 'vitest' {
  interface ProvidedContext {
    build: Build;
  }
}

export function setup(project: TestProject): void {
  const { status } = spawnSync('unshare', ['--user', '--map-root-user', '--net', 'true']);
  const isOffline = status === 0;
  const prefix = isOffline ? ['unshare', '--user', '--map-root-user', '--net'] : [];
  let output = '';
  let succeeded = true;
  // SITE=built: what stands in docs/.vitepress/dist is looked at as it is, while one of the checks is written
  const steps =
    process.env['SITE'] === 'built' ? [] : [['typedoc/bin/typedoc'], ['vitepress/bin/vitepress.js', 'build', '.']];
  for (const step of steps) {
    const [program = '', ...args] = step;
    const [command = '', ...rest] = [...prefix, process.execPath, join(docs, 'node_modules', program), ...args];
    const done = spawnSync(command, rest, {
      cwd: docs,
      encoding: 'utf8',
      env: { ...process.env, VITE_CONFIG_NATIVE_IGNORE_WARNING: 'true' },
    });
    output += `${done.stdout}${done.stderr}${done.error?.message ?? ''}`;
    succeeded &&= done.status === 0;
  }
  const generated = spawnSync(
    process.execPath,
    [join(root, 'test/compat/prisma/node_modules/prisma/build/index.js'), 'generate'],
    {
      cwd: join(root, 'test/docs/prisma'),
      encoding: 'utf8',
      // Migrations alone need the engine that would be downloaded here; any program does for a client.
      env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath },
    },
  );
  if (generated.status !== 0) throw new Error(`prisma generate: ${generated.stdout}${generated.stderr}`);
  project.provide('build', { output, succeeded, isOffline });
}
