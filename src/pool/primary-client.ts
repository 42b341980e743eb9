/** pg's client behind a pool's, aimed at whichever server is the primary: made before anything is known, and made anew where that is another one by then. */
import type { Client, QueryConfig } from 'pg';
import type { Node } from '../nodes/node.js';
import { type PreparedQuery, preparedWith } from '../postgres/prepared-query.js';
import type { ClientHost } from './access.js';

/** What pg's client emits, and its users listen for. */
const EVENTS = ['error', 'end', 'notice', 'notification', 'drain'] as const;

export type TypeParser = Parameters<Client['setTypeParser']>;

export class PrimaryClient {
  readonly #host: ClientHost;
  readonly #heard: (event: string, args: unknown[]) => void;
  readonly #typeParsers: TypeParser[] = [];
  #node: Node;
  #client: Client;
  #isUsed = false;

  /** @param heard told of what the present client emits */
  constructor(host: ClientHost, heard: (event: string, args: unknown[]) => void) {
    this.#host = host;
    this.#heard = heard;
    this.#node = host.cluster.primary;
    this.#client = this.#made();
  }

  get client(): Client {
    return this.#client;
  }

  /** A client for that server, not connected yet: pg's connect once. */
  at(node: Node): Client {
    if (this.#isUsed || this.#node !== node) {
      this.#node = node;
      this.#client = this.#made();
    }
    this.#isUsed = true;
    return this.#client;
  }

  setTypeParser(parser: TypeParser): void {
    this.#typeParsers.push(parser);
    this.#client.setTypeParser(...parser);
  }

  /** The statement with the client's own type parsers: they hold wherever its statements run. */
  typed(query: PreparedQuery): PreparedQuery {
    if (this.#typeParsers.length === 0 || (typeof query === 'object' && query.types !== undefined)) return query;
    const types = this.#client as unknown as NonNullable<QueryConfig['types']>;
    return preparedWith(query, { types });
  }

  #made(): Client {
    const client = this.#host.newClient(this.#node);
    for (const parser of this.#typeParsers) client.setTypeParser(...parser);
    for (const event of EVENTS) {
      client.on(event as 'end', (...args: unknown[]) => {
        if (client === this.#client) this.#heard(event, args);
      });
    }
    return client;
  }
}
