/**
 * Makes the clients of the library's own connections, as the pool makes its own: of its class and by its
 * options, but under a name that says what they are for. It connects none.
 */
import pg, { type Client, type Pool } from 'pg';
import { parse } from 'pg-connection-string';
import { applicationName, type ConnectionKind } from './application-name.js';

/** pg-pool's Pool with what its types leave out. */
interface PoolInsides {
  readonly Client?: (new (config: object) => Client) & { readonly unpooled?: new (config: object) => Client };
  readonly options?: object;
}

/**
 * @param kind `undefined` where a pooler takes no `application_name`: then it is the user's, or none
 * @param config what differs from the pool's options
 */
export function ownClient<C extends Client = Client>(
  pool: Pool,
  kind: ConnectionKind | undefined,
  config: Readonly<Record<string, unknown>> = {},
): C {
  const { Client: PoolClient = pg.Client, options = {} } = pool as unknown as PoolInsides;
  const OwnClient = (PoolClient as PoolInsides['Client'])?.unpooled ?? PoolClient;
  const own = kind === undefined ? config : { ...config, application_name: applicationName(options, kind) };
  const changes = Object.entries(own).map(([key, value]) => [key, { value, enumerable: true, configurable: true }]);
  return new OwnClient(Object.defineProperties({}, { ...descriptorsOf(options), ...Object.fromEntries(changes) })) as C;
}

/** Whether the server, or a pooler before it, has refused a connection for its name. */
export function refusesName(error: unknown): boolean {
  const { message, severity } = (error ?? {}) as { message?: unknown; severity?: unknown };
  return severity === 'FATAL' && /\bapplication_name\b/.test(String(message));
}

/** Also what the pool hides from enumeration, such as the password. */
function descriptorsOf(options: object): PropertyDescriptorMap {
  const all = Object.getOwnPropertyDescriptors(options) as PropertyDescriptorMap;
  const { connectionString, ...others } = all;
  const parts = typeof connectionString?.value === 'string' ? parse(connectionString.value) : {};
  // pg lays the parts of a connection string over the options: a name in it would win over this one.
  return 'application_name' in parts ? { ...others, ...Object.getOwnPropertyDescriptors(parts) } : all;
}
