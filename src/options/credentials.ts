/**
 * Whether a server that was found may be sent the login of the first server. It goes by what pg
 * makes of the options, the environment included. It connects to nothing, and never looks a name
 * up.
 */
import { BlockList, isIP } from 'node:net';
import type pg from 'pg';
import { parse } from 'pg-connection-string';

/** Which servers that were found may be sent the first one's login: `inheritCredentials` says it. */
export type InheritCredentials = 'tls' | 'always' | 'never';

/** What matters here of a client of pg's that was made of a server's options. */
export interface Prospect {
  readonly host: string;
  /** Text, or a function that gives one. */
  readonly password?: unknown;
  readonly ssl?: unknown;
}

const SECRET_SSL_OPTIONS = ['key', 'cert', 'pfx', 'passphrase'] as const;

const REMEDY_NEVER = "give it a user and a password of its own, or set inheritCredentials: 'tls'";
const REMEDY_TLS =
  'use ssl, and leave rejectUnauthorized on; or give it a password of its own; ' +
  "or set inheritCredentials: 'always' where you trust the network and those who name servers";

/**
 * @param said what was said of the server itself
 * @param made what pg makes of it together with the first server's options
 * @returns why it may not be connected to, and the remedy; `undefined` when it may
 */
export function refusalToInherit(said: pg.PoolConfig, made: Prospect, mode: InheritCredentials): string | undefined {
  if (mode === 'always') return undefined;
  const hasOwnUser = said.connectionString !== undefined || said.user !== undefined;
  if (mode === 'never') {
    if (!hasOwnUser) return `it has no login of its own, and may not inherit one; ${REMEDY_NEVER}`;
    return isSentForeignPassword(said, made)
      ? `it would be sent the password of the environment; ${REMEDY_NEVER}`
      : undefined;
  }
  if (!isSentForeignPassword(said, made) && !inheritsKey(said, made)) return undefined;
  if (isLoopback(made.host) || isVerified(made.ssl)) return undefined;
  const how = made.ssl ? 'with TLS that checks no certificate' : 'without TLS';
  return `it would be sent a login that is not its own ${how}; ${REMEDY_TLS}`;
}

/** The options without what logs in: a user, a password, a client's certificate and its key. */
export function withoutLogin({ user: _user, password: _password, ssl, ...rest }: pg.PoolConfig): pg.PoolConfig {
  if (ssl === undefined) return rest;
  if (typeof ssl !== 'object') return { ...rest, ssl };
  // Also what is hidden from enumeration.
  const left = Object.getOwnPropertyDescriptors(ssl) as PropertyDescriptorMap;
  for (const name of SECRET_SSL_OPTIONS) delete left[name];
  return { ...rest, ssl: Object.defineProperties({}, left) as NonNullable<pg.PoolConfig['ssl']> & object };
}

/**
 * Whether it gets a password, or a function that gives one, which was not said of it: the first
 * server's, or PGPASSWORD.
 */
function isSentForeignPassword({ password, connectionString }: pg.PoolConfig, made: Prospect): boolean {
  if (!made.password) return false;
  if (connectionString === undefined) return password === undefined;
  const parsed: { password?: unknown } = parse(connectionString);
  // pg lays the parts of the text over the options, also empty ones.
  return !('password' in parsed ? parsed.password : password);
}

function inheritsKey({ ssl, connectionString }: pg.PoolConfig, made: Prospect): boolean {
  if (ssl !== undefined || connectionString !== undefined || typeof made.ssl !== 'object') return false;
  const { key, pfx } = (made.ssl ?? {}) as { key?: unknown; pfx?: unknown };
  return Boolean(key ?? pfx);
}

/**
 * Whether TLS detects a server in between, or another one in its place, before a secret is sent.
 */
function isVerified(ssl: unknown): boolean {
  if (!ssl) return false;
  // What only the native client knows, which checks nothing unless it is told to.
  const { rejectUnauthorized, sslmode } = ssl as { rejectUnauthorized?: unknown; sslmode?: unknown };
  if (sslmode !== undefined && sslmode !== 'verify-ca' && sslmode !== 'verify-full') return false;
  if (typeof ssl === 'object' && 'rejectUnauthorized' in ssl) return rejectUnauthorized !== false;
  return process.env['NODE_TLS_REJECT_UNAUTHORIZED'] !== '0';
}

/**
 * What is said to it leaves the machine on no wire. A name is believed only where it is the one
 * that every machine has for itself.
 */
function isLoopback(host: string): boolean {
  if (host.startsWith('/')) return true;
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8);
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
