/**
 * The pools that the library makes: pg's own, with the connection string hidden as pg hides a
 * password, and logged without it. What they do with a connection, and what their options say when
 * asked by name, stays as pg has it.
 */
import pg from 'pg';
import { inNoContext } from '../async-context.js';
import { logsOnly } from '../redaction.js';

interface PoolInternals {
  options: pg.PoolConfig & { Client?: unknown };
  Client: unknown;
}

/** Printing a client shows the passphrase of a TLS key (by pg) and the key itself (by Node). */
class Client extends pg.Client {
  static {
    logsOnly(Client.prototype, 'Client', clientFacts);
    callAs(Client, pg.Client.name);
  }
}

/** What the pool itself connects. It serves many calls: what comes on its socket belongs to none of them. */
class PooledClient extends Client {
  /** Of the connections that the library opens beside the pool. */
  static readonly unpooled = Client;

  static {
    callAs(PooledClient, pg.Client.name);
  }

  override connect(callback?: unknown): never {
    return inNoContext(() => super.connect(callback as () => void)) as never;
  }
}

export class DiscreetPool extends pg.Pool {
  static {
    logsOnly(DiscreetPool.prototype, 'Pool', poolFacts);
    callAs(DiscreetPool, pg.Pool.name);
  }

  constructor(options: pg.PoolConfig) {
    super(options);
    const internals = this as unknown as PoolInternals;
    if (!internals.options.Client) internals.Client = PooledClient;
    hideSecrets(internals.options, options.connectionString);
  }
}

/**
 * Tools tell pg's pools and clients by `constructor.name`: whatever a bundler makes of ours, it is
 * pg's.
 */
export function callAs(ours: object, name: string): void {
  Object.defineProperty(ours, 'name', { value: name, configurable: true });
}

/**
 * @param options a pool's own, not yet in use @param connectionString what they have, or shall have
 */
export function hideSecrets(options: pg.PoolConfig, connectionString: string | undefined): void {
  logsOnly(options, 'PoolOptions', ({ ssl, ...shown }) => ({ ...shown, ssl: Boolean(ssl) }));
  if (connectionString === undefined) return;
  // A copy of the options has no password, as with pg's own; but it names the same server, not the
  // environment's.
  const { host, port, user, database } = new pg.Client(placeIn(options, connectionString));
  Object.assign(options, { host, port, user, database });
  Object.defineProperty(options, 'connectionString', {
    value: connectionString,
    configurable: true,
    enumerable: false,
    writable: true,
  });
}

function placeIn({ host, port, user, database }: pg.PoolConfig, connectionString: string): pg.ClientConfig {
  return { host, port, user, database, connectionString };
}

export function poolFacts({ totalCount, idleCount, waitingCount, ending, ended }: pg.Pool): object {
  return { totalCount, idleCount, waitingCount, ending, ended };
}

export function clientFacts(client: pg.Client): object {
  const { host, port, processID } = client as pg.Client & { processID?: number | null };
  return { host, port, processID };
}
