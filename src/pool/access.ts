/** What a pool asks of the cluster that it belongs to, and what its clients ask of the pool. */
import type { Client, PoolClient } from 'pg';
import type { ExecutionContext } from '../execute/context.js';
import type { Statement } from '../execute/statement.js';
import type { Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import type { SessionScope } from '../session/session.js';
import type { Hint } from '../sql/hint.js';
import type { Classifier } from '../statements/classifier.js';

/** How a pool finds out where a statement goes: by what it is, as a read that its user vouches for, or always to the primary. */
export type Intent = 'auto' | 'read' | 'write';

export interface ClusterAccess {
  readonly context: ExecutionContext;
  readonly classifier: Classifier;
  /** Something is asked of it: idle clusters are looked at less often. */
  used(): void;
  /** The calling code's session; a pool never joins its transaction. */
  scope(): SessionScope;
  /** Pg calls back in the context of whoever opened the connection: what it is given by this belongs to the session of whoever asks. */
  bind<A extends unknown[]>(callback: (...args: A) => void): (...args: A) => void;
  outsideSessions<T>(fn: () => T): T;
  need(scope: SessionScope, hint: Hint | undefined, startedAt: number): Need;
  statement(query: PreparedQuery, values: unknown[] | undefined, introduce: Introduce | undefined): Statement;
}

/** What is done with a replica's connection before a pool's statement runs there. */
export type Introduce = (client: PoolClient) => void;

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
  /** `undefined` while nobody wants to know of new connections. */
  readonly introduce: Introduce | undefined;
}
