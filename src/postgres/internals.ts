/**
 * What pg and pg-pool keep to themselves and the library reads, each thing once. pg's native client has none of it, nor has a class of clients of one's own:
 * everything here can do without. `test/behaviour/internals.test.ts` says what breaks when pg changes.
 */
import type { EventEmitter } from 'node:events';
import pg, { type Client, type Pool } from 'pg';
import type { ParserSource } from './prepared-query.js';

/** pg's Client with what its types leave out. */
interface Insides {
  readonly _queryable?: boolean;
  readonly _ending?: boolean;
  /** Whether the server is ready for the next statement. */
  readonly readyForQuery?: boolean;
  readonly processID?: number | null;
  readonly secretKey?: unknown;
  readonly connection?: Partial<Wire>;
  readonly _Promise?: typeof Promise;
  readonly _types?: ParserSource;
}

/** pg's Connection: the protocol's messages as events, by their names. */
export interface Wire extends Pick<EventEmitter, 'on' | 'removeListener' | 'prependListener'> {
  readonly stream: { readonly bytesRead?: number; readonly destroyed?: boolean; destroy(): void };
}

/** pg-pool's Pool with what its types leave out. */
interface PoolInsides {
  readonly Client?: new (options: unknown) => Client;
  readonly options: unknown;
  readonly _clients?: readonly Client[];
  readonly _idle?: readonly { readonly client: Client }[];
}

export function wireOf(client: object): Partial<Wire> | undefined {
  return (client as Insides).connection;
}

/** The class of the promises that it gives: its user may have brought one. */
export function promiseClassOf(client: object): typeof Promise {
  return (client as Insides)._Promise ?? Promise;
}

/** Its parsers, with those that were set on it; they do not hold the client. */
export function parsersOf(client: object): Required<ParserSource> | undefined {
  const { _types: types } = client as Insides;
  return typeof types?.getTypeParser === 'function' ? (types as Required<ParserSource>) : undefined;
}

/** The database that its clients connect to, from wherever pg takes it. */
export function databaseOf(pool: Pool): string | undefined {
  const { database } = newClient(pool) as { readonly database?: unknown };
  return typeof database === 'string' ? database : undefined;
}

/** Whether pg takes one more statement on it: else it answers with an error, and the client does not tell when that is over. */
export function isQueryable(client: object): boolean {
  const { _queryable = true, _ending = false } = client as Insides;
  return _queryable && !_ending;
}

/** Whether pg has lost it, and not merely ends it. */
export function isBroken(client: object): boolean {
  return (client as Insides)._queryable === false;
}

/** Whether something was sent on it that is not answered. */
export function isBusy(client: object): boolean {
  return (client as Insides).readyForQuery === false;
}

/** Whether nothing is under way on it, and the server has said so. */
export function isReady(client: object): boolean {
  return (client as Insides).readyForQuery === true;
}

/** What has come on it so far; 0 where it is not counted. */
export function bytesReadOn(client: object): number {
  return wireOf(client)?.stream?.bytesRead ?? 0;
}

export function isSocketGone(client: object): boolean {
  return wireOf(client)?.stream?.destroyed === true;
}

/** Closes the socket without a goodbye: the other side is gone or hung. */
export function dropSocket(client: object): void {
  const stream = wireOf(client)?.stream;
  if (stream !== undefined) stream.destroy();
  else if (client instanceof pg.Client) client.end().catch(() => undefined);
}

/** By which the server knows the connection, as it said itself; a pooler says its own. */
export function backendKeyOf(client: object): { readonly processId: number | undefined; readonly secretKey: unknown } {
  const { processID, secretKey } = client as Insides;
  return { processId: processID ?? undefined, secretKey };
}

/** PostgreSQL reports some settings by itself when they change; pg keeps that to itself. @returns what stops it */
export function listenForSettings(client: object, heard: (name: string, value: string) => void): () => void {
  const wire = wireOf(client);
  const listener = ({ parameterName, parameterValue }: Record<string, unknown>): void =>
    heard(String(parameterName), String(parameterValue));
  wire?.on?.('parameterStatus', listener);
  return () => wire?.removeListener?.('parameterStatus', listener);
}

/** With a callback, since those who patch pg's clients may know of no other form. */
export function connected(client: Client): Promise<void> {
  return new Promise((resolve, reject) => {
    // pg forgets callers that wait for a connection that is ended meanwhile.
    client.once('end', () => reject(new Error('Connection terminated')));
    client.connect((error: Error | null | undefined) => (error ? reject(error) : resolve()));
  });
}

/** As the pool makes its own clients: of its class, and by the same options object, in which the pool hides the password. Not connected yet. */
export function newClient<C extends Client = Client>(pool: Pool): C {
  const { Client: PoolClient = pg.Client, options } = pool as unknown as PoolInsides;
  return new PoolClient(options as object) as C;
}

/** Whether it makes its clients by itself. */
export function makesClients(pool: Pool): boolean {
  return typeof (pool as unknown as PoolInsides).Client === 'function';
}

/** All connections of a pool, those that are being opened included; `undefined` where it does not tell. */
export function clientsOf(pool: Pool): readonly Client[] | undefined {
  return (pool as unknown as PoolInsides)._clients;
}

/** Those of them that are free. */
export function idleClientsOf(pool: Pool): readonly Client[] {
  return ((pool as unknown as PoolInsides)._idle ?? []).map(({ client }) => client);
}
