/** Builds the site before its tests: without network, where this machine lets a process do without. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

const docs = fileURLToPath(new URL('../../docs', import.meta.url));

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
  for (const step of [['typedoc/bin/typedoc'], ['vitepress/bin/vitepress.js', 'build', '.']]) {
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
  project.provide('build', { output, succeeded, isOffline });
}
