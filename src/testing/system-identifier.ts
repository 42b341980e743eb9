// Gives a copied data directory an identity of its own, as initdb would have: copies of one
// template must not pass for one cluster. Changes the eight bytes of the identifier and the
// checksum over them, nothing else.
import { randomBytes } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TestBackendError } from './error.js';

/** A new system identifier, in the manner of PostgreSQL: the time in the upper half. */
export function newSystemIdentifier(): bigint {
  return (BigInt(Math.floor(Date.now() / 1000)) << 32n) | BigInt(randomBytes(4).readUInt32LE());
}

/**
 * Rewrites the identifier of a data directory that has never been started, wherever PostgreSQL
 * keeps it.
 */
export async function setSystemIdentifier(directory: string, identifier: bigint): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(identifier);
  const control = await open(join(directory, 'global', 'pg_control'), 'r+');
  try {
    const content = Buffer.alloc(512);
    await control.read(content, 0, content.length, 0);
    const crcOffset = findCrc(content);
    bytes.copy(content, 0);
    content.writeUInt32LE(crc32c(content.subarray(0, crcOffset)), crcOffset);
    await control.write(content, 0, crcOffset + 4, 0);
  } finally {
    await control.close();
  }
  // The first page of each segment repeats it in its long header.
  for (const name of await readdir(join(directory, 'pg_wal'))) {
    if (!/^[0-9A-F]{24}$/.test(name)) continue;
    const segment = await open(join(directory, 'pg_wal', name), 'r+');
    try {
      await segment.write(bytes, 0, bytes.length, 24);
    } finally {
      await segment.close();
    }
  }
}

/** The checksum is the last field of the control data, at an offset that differs by version. */
function findCrc(content: Buffer): number {
  for (let offset = 128; offset + 4 <= content.length; offset += 4) {
    if (crc32c(content.subarray(0, offset)) === content.readUInt32LE(offset)) return offset;
  }
  throw new TestBackendError('LADDER_TEST_UNSUPPORTED', 'Found no checksum in global/pg_control: an unknown version.');
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
