/** Opens a connection of the library's own, within a bound. It holds no process alive. */
import type { Client, Pool } from 'pg';
import { within } from '../deadline.js';
import type { ConnectionKind } from './application-name.js';
import { NoAnswer } from './errors.js';
import { connected, dropSocket } from './internals.js';
import { ownClient, refusesName } from './own-client.js';

/** What is the same for all of them. */
const CONFIG = { pipeline: false, query_timeout: undefined, keepAlive: true };

/**
 * @param made wraps the client before it connects
 * @throws pg's errors, or NoAnswer
 */
export async function openOwn<T>(
  pool: Pool,
  kind: ConnectionKind,
  config: Readonly<Record<string, unknown>>,
  boundMillis: number,
  made: (client: Client) => T,
  isNamed = true,
): Promise<T> {
  const client: Client & { unref?(): void } = ownClient(pool, isNamed ? kind : undefined, { ...CONFIG, ...config });
  const opened = made(client);
  try {
    await within(connected(client), boundMillis, () => new NoAnswer('it does not answer'), true);
    client.unref?.();
    return opened;
  } catch (error) {
    dropSocket(client);
    if (isNamed && refusesName(error)) return openOwn(pool, kind, config, boundMillis, made, false);
    throw error;
  }
}
