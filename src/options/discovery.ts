/** What finds servers out: the shape of a discovery, and what it is given. */
import type { NodeOptions } from './servers.js';

/** What a node answered to a discovery's question. */
export interface NodeAnswer<Row> {
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  readonly rows: readonly Row[];
}

/** What a {@link Discovery} is given. */
export interface DiscoveryContext {
  /** Aborts when the answer is not needed any more: after 10 s, or when the cluster is closed. */
  readonly signal: AbortSignal;
  /**
   * Asks every node that answers, on the library's own connection to it, one statement that only
   * reads.
   * @returns what they said; those that did not answer, or with an error, are left out.
   * @throws the error, when all that answered did so with one
   */
  readonly ask: <Row>(text: string) => Promise<readonly NodeAnswer<Row>[]>;
}

/**
 * Tells which servers there are now, beside those that `createCluster` was given, which stay. Their
 * roles need not be told: they are asked. Options without a `connectionString` or a `pool` are laid
 * over those of the first server, so that `{ host, port }` is enough (their login only as
 * `inheritCredentials` allows); a server without a `name` is called `host:port`. One that has a
 * given server's address is that server. One that is missing from two answers in a row leaves: what
 * runs on it ends there. When it throws, nothing changes.
 */
export type Discovery = (context: DiscoveryContext) => readonly NodeOptions[] | Promise<readonly NodeOptions[]>;
