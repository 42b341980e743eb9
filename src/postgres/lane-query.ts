/**
 * A prepared statement whose columns are known, as pg's pipeline takes it: sent in one piece, and without asking for its columns again, which PostgreSQL
 * promises not to change under a name: a new name is asked for them anew. Half of what a short read costs this process is how it is written and described.
 */
import pg, { type QueryResult } from 'pg';
import { serialize } from 'pg-protocol';
import { inOnePiece } from './preparing-query.js';
import type { StatementName, StatementNames } from './statement-names.js';
import { prepareValue } from './values.js';

/** What pg's types do not tell of its Query. */
interface QueryInternals {
  name: string;
  values: unknown[];
  binary: boolean | undefined;
  submit(connection: Connection): Error | null;
  handleRowDescription(message: { fields: unknown[] }): void;
}

interface Connection {
  readonly stream: { readonly writable: boolean; write(data: Buffer): unknown; cork?(): void; uncork?(): void };
}

export interface LaneQueryConfig {
  readonly text: string;
  readonly values: unknown[];
  readonly rowMode: 'array' | undefined;
  readonly types: unknown;
}

const BaseQuery = pg.Query as unknown as new (
  config: string | LaneQueryConfig,
  values: unknown[],
  callback: (error: Error | null, result: QueryResult) => void,
) => QueryInternals;

const RUN_AND_SYNC = Buffer.concat([serialize.execute(), serialize.sync()]);

export class LaneQuery extends BaseQuery {
  readonly #names: StatementNames;
  readonly #name: StatementName;

  constructor(
    config: LaneQueryConfig,
    names: StatementNames,
    name: StatementName,
    callback: (error: Error | null, result: QueryResult) => void,
  ) {
    const { text, values, rowMode, types } = config;
    // pg copies an object property by property, which costs a tenth of a short read.
    super(rowMode === undefined && types === undefined ? text : config, values, callback);
    this.name = name.text;
    this.#names = names;
    this.#name = name;
  }

  /** Whether clients of that class take it: they ask for their own pg's Query. */
  static suits(client: object): boolean {
    return (client.constructor as { Query?: unknown }).Query === pg.Query;
  }

  override submit(connection: Connection): Error | null {
    const names = this.#names;
    if (!names.hasAhead(this.#name)) return this.#submit(connection);
    return inOnePiece(connection, names.ahead(this.#name), () => this.#submit(connection));
  }

  #submit(connection: Connection): Error | null {
    const { fields, isReady } = this.#name;
    if (fields === undefined || !isReady) return super.submit(connection);
    super.handleRowDescription({ fields });
    const { values, binary = false } = this;
    const bind = serialize.bind({ statement: this.#name.text, values, binary, valueMapper: prepareValue });
    // What is lost with the socket is told of when that ends.
    if (connection.stream.writable) connection.stream.write(Buffer.concat([bind, RUN_AND_SYNC]));
    return null;
  }

  override handleRowDescription(message: { fields: unknown[] }): void {
    this.#name.fields = message.fields;
    super.handleRowDescription(message);
  }
}
