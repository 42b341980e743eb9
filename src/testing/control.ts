// How tests talk to a server behind the library's back: short-lived superuser connections, and
// waits with a limit. Nothing here outlives the call that opened it, and a dying server never
// becomes an unhandled error.
import { Socket } from 'node:net';
import pg from 'pg';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { TestBackendError } from './error.js';

/**
 * A control connection's only verb. Rows come as objects with text, number or boolean values. Plain
 * names mean pg_catalog's; a cast to or from text may be a test's own, so none is used: `concat`
 * prints anything.
 */
export type Ask = <Row extends Record<string, unknown>>(sql: string, values?: unknown[]) => Promise<Row[]>;

/** Where a server listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A server with its superuser's password. */
export interface Login extends Address {
  readonly password: string;
}

/** An open control connection. */
export interface ControlConnection {
  ask: Ask;
  /** Never throws, never waits longer than half a second. */
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MILLIS = 5_000;
const QUERY_TIMEOUT_MILLIS = 10_000;
const BOOL = 16;
const INT4 = 23;
/**
 * As PostgreSQL writes them: the application may have set parsers of its own for all clients, and
 * binary values for them.
 */
const PLAIN_TYPES = {
  getTypeParser: (oid: number) => (oid === BOOL ? isTrue : oid === INT4 ? Number : asText),
} as unknown as NonNullable<pg.ClientConfig['types']>;

const isTrue = (text: string): boolean => text === 't';
const asText = (text: string): string => text;

/**
 * A test may leave a search path on the role or the database where names mean something else: this
 * one goes over both.
 */
const SAFE_PATH = '-c search_path=pg_catalog,pg_temp';

/** Opens a control connection to a server, as superuser and with a limit on every statement. */
export async function connect({ host, port, password }: Login): Promise<ControlConnection> {
  const socket = new Socket();
  const client = new pg.Client({
    host,
    port,
    user: 'postgres',
    password,
    database: 'postgres',
    ssl: false,
    application_name: 'pg-ladder testing',
    options: SAFE_PATH,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MILLIS,
    query_timeout: QUERY_TIMEOUT_MILLIS,
    // Where nothing is said, the application's `pg.defaults` hold.
    statement_timeout: QUERY_TIMEOUT_MILLIS,
    lock_timeout: QUERY_TIMEOUT_MILLIS,
    idle_in_transaction_session_timeout: QUERY_TIMEOUT_MILLIS,
    types: PLAIN_TYPES,
    stream: () => socket,
  });
  Object.assign(client, { binary: false });
  client.on('error', () => {}); // the next query reports it
  const close = async () => {
    // A frozen server never answers the goodbye.
    const giveUp = setTimeout(() => socket.destroy(), 500);
    await client.end().catch(() => {});
    clearTimeout(giveUp);
    socket.destroy();
  };
  try {
    await client.connect();
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return { close, ask: async (sql, values) => (await client.query(sql, values)).rows };
}

/** Runs `task` with a control connection of its own. */
export async function withConnection<T>(login: Login, task: (ask: Ask) => Promise<T>): Promise<T> {
  const connection = await connect(login);
  try {
    return await task(connection.ask);
  } finally {
    await connection.close();
  }
}

/** How long and how often `until` looks. */
export interface UntilOptions {
  /** Completes the sentence "waited for …". */
  readonly what: string;
  readonly timeoutMillis?: number;
  readonly everyMillis?: number;
}

/**
 * Polls `check` until it returns something other than `undefined` or `false`, and returns that.
 *
 * @throws TestBackendError `LADDER_TEST_TIMEOUT` when the limit (default 10 s) has passed.
 */
export async function until<T>(
  check: () => Promise<T | undefined | false>,
  { what, timeoutMillis = 10_000, everyMillis = 5 }: UntilOptions,
): Promise<T> {
  const deadline = performance.now() + timeoutMillis;
  for (;;) {
    const result = await check();
    if (result !== undefined && result !== false) return result;
    if (performance.now() > deadline) {
      throw new TestBackendError('LADDER_TEST_TIMEOUT', `Waited ${timeoutMillis} ms for ${what}, in vain.`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMillis));
  }
}
