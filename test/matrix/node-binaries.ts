/** The versions of Node that the matrix runs on, from npm: each is one file in a package for one platform. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const NODE_VERSIONS = [22, 24, 26] as const;

/** @returns the path of its binary; `undefined` where npm has none for this platform */
export function nodeBinary(version: (typeof NODE_VERSIONS)[number]): string | undefined {
  const path = `node/node_modules/node-${version}-${process.platform}-${process.arch}/bin/node`;
  const binary = fileURLToPath(new URL(path, import.meta.url));
  return existsSync(binary) ? binary : undefined;
}
