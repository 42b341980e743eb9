/**
 * Asks a server to stop what one connection is running, in PostgreSQL's own way: on another connection, by the key that the first one was given. A pooler that stands between
 * knows whom it means, where a process id may by now be that of somebody else's statement.
 */

import type { Pool } from 'pg';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { backendKeyOf, isBusy, isSocketGone, newClient } from './internals.js';

/** pg's Connection and Client, with what their types leave out. */
interface Wire {
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processID: number, secretKey: unknown): void;
  on(event: 'error', listener: () => void): void;
  once(event: 'connect' | 'sslconnect' | 'end', listener: () => void): void;
  readonly stream: { destroy(): void };
}
interface WiredClient {
  readonly connection?: Wire;
  readonly host: string;
  readonly port: number;
  readonly ssl: unknown;
  readonly sslNegotiation?: 'postgres' | 'direct';
}

/** A busy pooler takes so long to pass a statement on; in milliseconds. */
const AGAIN_MILLIS = 100;

/**
 * A request that overtakes its statement does nothing: it is made again until nothing runs on that
 * connection any more, for at most `giveUpMillis`. Never rejects.
 * @param boundMillis how long one request may take
 */
export async function cancelWhileBusy(
  pool: Pool,
  client: object,
  boundMillis: number,
  giveUpMillis: number,
): Promise<void> {
  const giveUpAt = performance.now() + giveUpMillis;
  for (;;) {
    await cancelByKey(pool, client, boundMillis);
    if (!isBusy(client) || performance.now() > giveUpAt) return;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MILLIS));
    if (!isBusy(client) || isSocketGone(client)) return;
  }
}

/** Resolves when the server, or the pooler, has taken notice, or after `boundMillis`; never rejects. */
export function cancelByKey(pool: Pool, client: object, boundMillis: number): Promise<void> {
  const { processId, secretKey } = backendKeyOf(client);
  const { connection, host, port, ssl, sslNegotiation } = newClient(pool) as unknown as WiredClient;
  if (connection === undefined || processId === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      connection.stream.destroy();
      resolve();
    };
    const timer = setTimeout(over, boundMillis);
    const ask = (): void => connection.cancel(processId, secretKey);
    connection.on('error', over);
    // It answers by closing.
    connection.once('end', over);
    connection.once('connect', () => {
      if (!ssl) ask();
      else if (sslNegotiation !== 'direct') connection.requestSsl();
    });
    connection.once('sslconnect', ask);
    if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
    else connection.connect(port, host);
  });
}
