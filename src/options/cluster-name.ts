/**
 * How a cluster is called, and which database it is of. A name goes into cookies, headers, labels
 * and logs, so it never holds more than a plain word. Whether another cluster has the name already
 * is no matter here.
 */
import pg from 'pg';
import { z } from 'zod';
import { placeIn, placeOf, type Where } from './place.js';
import type { NodeSettings } from './servers.js';

const MAX_LENGTH = 64;
/** For a database that has no name of its own to show. */
const NAMELESS = 'cluster';

export const clusterName = z
  .string()
  .regex(/^[\w.-]{1,64}$/, 'expected a name of 1 to 64 letters (a to z), digits, "_", "-" and "."');

/** What tells one cluster of a process from another. */
export interface ClusterIdentity {
  readonly name: string;
  /** Whether the name is the option's, and not the database's. */
  readonly isGiven: boolean;
  /** `host:port/database` of each server that was given; `undefined` where that says too little. */
  readonly places: readonly string[] | undefined;
}

export function identityOf(name: string | undefined, nodes: readonly NodeSettings[]): ClusterIdentity {
  const found = nodes.map(({ pool }) => whereOf(pool));
  const places = found.every((where) => where?.isTold === true)
    ? found.map((where) => placeOf(where as Where))
    : undefined;
  return { name: name ?? nameFor(found[0]?.database), isGiven: name !== undefined, places };
}

/**
 * The default name. What a name may not hold becomes `_`. Text with `:`, `/`, `@` or `=` may be an
 * address with a password that was put into the wrong option: nothing of it is shown.
 */
export function nameFor(database: string | undefined): string {
  if (!database || /[:/@=]/.test(database)) return NAMELESS;
  return database.replace(/[^\w.-]/gu, '_').slice(0, MAX_LENGTH);
}

interface PooledWhere extends Where {
  /** Whether the address is all that says which server it is. */
  readonly isTold: boolean;
}

/** `undefined` for a pool that does not say. */
function whereOf({ options }: pg.Pool): PooledWhere | undefined {
  if (typeof options !== 'object' || options === null) return undefined;
  const { host, port, user, database, connectionString, stream, Client } = options as pg.PoolConfig & {
    Client?: unknown;
  };
  try {
    // Not with all options: that would open a stream of one's own.
    const client = new pg.Client({ host, port, user, database, connectionString });
    // A stream, or a client, of one's own may lead anywhere.
    return { ...placeIn(client), isTold: stream === undefined && Client === undefined };
  } catch {
    return undefined;
  }
}
