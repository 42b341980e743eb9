/** Makes Prisma's client out of schema.prisma, in ./dist, which git ignores: it is Prisma's code, and as old as the schema. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const folder = fileURLToPath(new URL('.', import.meta.url));

export async function generate(): Promise<typeof import('./dist/client.js')> {
  await promisify(execFile)(process.execPath, ['node_modules/prisma/build/index.js', 'generate'], {
    cwd: folder,
    // Migrations alone need the engine that would be downloaded here; any program does for a client.
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath },
  });
  return import('./dist/client.js');
}
