/** What a pool asks of the cluster that it belongs to, and what its clients ask of the pool. */
import type { Client, QueryResult } from 'pg';
import type { Untold, WarningEvent } from '../events.js';
import type { Introduce } from '../execute/call.js';
import type { Entry } from '../execute/gate.js';
import type { Opened } from '../execute/primary.js';
import type { Vouching } from '../execute/query.js';
import type { Request } from '../execute/request.js';
import type { Node } from '../nodes/node.js';
import type { ReadOptions } from '../options/calls.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import type { SessionScope } from '../session/scope.js';
import type { Classification } from '../statements/classifier.js';

/** How a pool finds out where a statement goes: by what it is, as a read that its user vouches for, or always to the primary. */
export type Intent = 'auto' | 'read' | 'write';

/** A statement that is taken for a read. */
export interface Reading extends Vouching {
  readonly query: PreparedQuery;
  readonly values: unknown[] | undefined;
  readonly scope: SessionScope;
  readonly entry: Entry;
  /** `undefined` for a statement that may be named, and share a connection. */
  readonly introduce: Introduce | undefined;
}

/** The gate of the cluster, for a pool's statements. */
export interface ClusterAccess {
  /** The server that takes writes, or the last one that did. */
  readonly primary: Node;
  /** How many servers there are. */
  readonly nodeCount: number;
  /** The calling code's session; a pool never joins its transaction. */
  scope(): SessionScope;
  /** Pg calls back in the context of its socket: what it is given by this runs in that of its caller, and so in its session. */
  bind<A extends unknown[]>(callback: (...args: A) => void): (...args: A) => void;
  /** A statement comes in. */
  pass(): Entry;
  /** Of a transaction or a cursor. */
  readRequest(scope: SessionScope, hint: ReadOptions | undefined, entry: Entry): Request;
  writeRequest(scope: SessionScope, entry: Entry): Request;
  /** Runs a read on whichever server is fresh. @param onPrimary runs it where a replica refuses it; default: on a connection of the cluster's */
  read(reading: Reading, onPrimary?: () => Promise<QueryResult>): Promise<QueryResult>;
  /** Opens a connection to the primary, as soon as there is one. @param clientFor pg's client for that server, not connected yet */
  openPrimary(clientFor: (node: Node) => Client): Promise<Opened>;
  /** What is known of a text by now. */
  known(text: string): Classification | undefined;
  classify(text: string): Promise<Classification>;
  /** A definition has been answered. @param text `undefined` where it is unknown */
  changed(text: string | undefined): void;
  /** @param warning asked for only when somebody listens */
  warn(warning: () => Untold<WarningEvent>): void;
  /** Once for all texts that differ in their constants only. */
  warnOnce(text: string, warning: (digest: string) => Untold<WarningEvent>): void;
}

export interface ClientHost {
  readonly cluster: ClusterAccess;
  readonly intent: Intent;
  /** Whether a client takes a server when its first statement shows which, and not when it is handed out. */
  readonly isLate: boolean;
  /** pg's Promise, or the one that the user brought. */
  readonly Promise: typeof Promise;
  /** pg's client for that server, not connected yet. */
  newClient(node: Node): Client;
  /** A connection to the primary was opened long after its client was made: sets it up as pg-pool would. */
  opened(connection: Client): Promise<void>;
  /** `undefined` while new connections are not of interest. */
  readonly introduce: Introduce | undefined;
}
