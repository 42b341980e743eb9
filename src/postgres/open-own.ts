/** Opens a connection of the library's own, within a bound. */
import type { Client, Pool } from 'pg';
import { within } from '../deadline.js';
import type { ConnectionKind } from './application-name.js';
import { NoAnswer } from './errors.js';
import { connected, dropSocket } from './internals.js';
import { ownClient, refusesName } from './own-client.js';

export interface OwnConnection {
  /** What it is for: servers show it. `undefined` where a server refuses such names. */
  readonly kind: ConnectionKind | undefined;
  /** Beside what is the same for all of them. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** How long opening may take, in milliseconds. */
  readonly boundMillis: number;
  /** Whether it keeps the process alive. Default: no. */
  readonly holds?: boolean;
}

/** What is the same for all of them. */
const CONFIG = { pipeline: false, query_timeout: undefined, keepAlive: true };

/**
 * @param made wraps the client before it connects
 * @throws pg's errors, or NoAnswer
 */
export async function openOwn<T>(pool: Pool, own: OwnConnection, made: (client: Client) => T): Promise<T> {
  const { kind, config, boundMillis, holds = false } = own;
  const client: Client & { unref?(): void } = ownClient(pool, kind, { ...CONFIG, ...config });
  const opened = made(client);
  try {
    await within(connected(client), boundMillis, () => new NoAnswer('it does not answer'), !holds);
    if (!holds) client.unref?.();
    return opened;
  } catch (error) {
    dropSocket(client);
    if (kind !== undefined && refusesName(error)) return openOwn(pool, { ...own, kind: undefined }, made);
    throw error;
  }
}
