/** Checks a server's certificate against another name than its host. What else TLS checks stays as it was. */
import { isIP } from 'node:net';
import tls from 'node:tls';
import pg from 'pg';
import { parse } from 'pg-connection-string';

/** pg checks certificates against the host, which is not always what they are made out to. */
export function named(config: pg.PoolConfig, servername: string | undefined): pg.PoolConfig {
  if (servername === undefined) return config;
  // By what pg makes of the options, the environment and the connection string together.
  const { ssl } = new pg.Client(config);
  if (!ssl) return config;
  const checked = new NamedTls(givenTls(ssl === true ? {} : ssl), servername);
  // pg lays the parts of a connection string over the options: its `ssl` would win over this one.
  const { connectionString } = config;
  const { connectionString: _, ...own } = Object.getOwnPropertyDescriptors(config);
  const parts = connectionString === undefined ? {} : Object.getOwnPropertyDescriptors(parse(connectionString));
  const named = { value: checked, enumerable: true, writable: true, configurable: true };
  return Object.defineProperties({} as pg.PoolConfig, { ...own, ...parts, ssl: named });
}

/**
 * What `ssl` was before a certificate was to be checked against another name, which another
 * server's own name takes the place of.
 */
export function givenTls(ssl: tls.ConnectionOptions): tls.ConnectionOptions {
  return NamedTls.given(ssl);
}

/** pg's `ssl` with another name for the certificate. */
class NamedTls implements tls.ConnectionOptions {
  declare servername?: string;
  declare checkServerIdentity: NonNullable<tls.ConnectionOptions['checkServerIdentity']>;
  readonly #given: tls.ConnectionOptions;

  constructor(given: tls.ConnectionOptions, servername: string) {
    this.#given = given;
    // Also what a pool hides from enumeration, such as the key.
    Object.defineProperties(this, Object.getOwnPropertyDescriptors(given));
    this.checkServerIdentity = (_host, certificate) =>
      given.checkServerIdentity
        ? given.checkServerIdentity(servername, certificate)
        : tls.checkServerIdentity(servername, certificate);
    // The server name of TLS (SNI) must be a name; where the host is one, pg sends it instead.
    if (isIP(servername) === 0) this.servername = servername;
  }

  static given(ssl: tls.ConnectionOptions): tls.ConnectionOptions {
    return #given in ssl ? ssl.#given : ssl;
  }
}
