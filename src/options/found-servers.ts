/** What a discovery names, made into servers that can be told apart and opened: nothing is connected to here. */
import pg from 'pg';
import { parse } from 'pg-connection-string';
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import { check, stated } from './check.js';
import {
  checkConfig,
  checkedUrl,
  type NodeOptions,
  type NodeSettings,
  node,
  nodeSettings,
  openPool,
} from './servers.js';

/** A server that was found. */
export interface FoundServer {
  readonly name: string;
  /** `host:port/database`, or the pool that was handed in: another one is another server, whatever its name. A pooler serves several at one address, by their databases. */
  readonly place: string | pg.Pool;
  readonly weight: number;
  readonly zone: string | undefined;
  /** Makes its pool. */
  open(): NodeSettings;
}

const found = z.array(node);
/** Without any of these it would be the first server once more. */
const SAYS_WHERE = ['host', 'port', 'database', 'connectionString', 'pool'];

/**
 * @param given the servers that are there anyway; the first one's options are what found ones leave out
 * @param lane whether found servers share connections that say nothing of it
 * @returns each server once, and none of the given ones
 * @throws LadderError `LADDER_INVALID_OPTIONS`, of all of them, when one makes no sense
 */
export function foundServers(
  answer: unknown,
  given: readonly NodeSettings[],
  lane: boolean | undefined,
): FoundServer[] {
  check(found, answer, 'discovery');
  const [{ pool: template }] = given as [NodeSettings];
  const known = new Set<string | pg.Pool>(
    given.flatMap(({ pool, name }) => [pool, placeOf(whereOf(pool.options, name))]),
  );
  const names = new Set(given.map(({ name }) => name));
  const servers: FoundServer[] = [];
  for (const [i, options] of (answer as readonly NodeOptions[]).entries()) {
    const server = foundServer(options, template, lane, `discovery[${i}]`);
    if (known.has(server.place)) continue;
    known.add(server.place);
    // Of several servers of one name, the first in the answer has it to itself.
    const { where, ...rest } = server;
    const isCalled = server.name !== where.address;
    const more = isCalled ? [`${server.name}@${where.address}`, `${server.name}@${placeOf(where)}`] : [placeOf(where)];
    const name = [server.name, ...more].find((one) => !names.has(one)) ?? server.name;
    names.add(name);
    servers.push({ ...rest, name, open: () => ({ ...server.open(), name }) });
  }
  return servers;
}

function foundServer(
  given: NodeOptions,
  template: pg.Pool,
  lane: boolean | undefined,
  which: string,
): FoundServer & { readonly where: Where } {
  if (typeof given === 'object') checkConfig(given, which);
  const options =
    typeof given === 'string' ? { connectionString: given } : (stated(given) as Exclude<NodeOptions, string>);
  if (!SAYS_WHERE.some((option) => option in options)) {
    throw invalidOptions(
      `${which}: expected a server with ${SAYS_WHERE.join(', ')} or several of these, got none of them`,
    );
  }
  const { weight = 1, zone } = options;
  const own = 'pool' in options || 'connectionString' in options ? options : laidOver(template, options);
  // Whatever makes no sense is found out here, before anything is changed.
  if ('connectionString' in own) checkedUrl(own.connectionString, which);
  const pool = 'pool' in own ? openPool(own.pool, which) : undefined;
  const where = whereOf(pool?.options ?? (own as pg.PoolConfig), which);
  return {
    name: options.name ?? where.address,
    place: pool ?? placeOf(where),
    where,
    weight,
    zone,
    open: () => {
      const settings = nodeSettings(own, where.address, which, 'replica');
      return { ...settings, lane: settings.lane ?? lane };
    },
  };
}

/** The first server's options with what was said of this one in their place; also what a pool hides from enumeration, such as the password. */
function laidOver({ options }: pg.Pool, found: pg.PoolConfig): pg.PoolConfig {
  const entries = Object.getOwnPropertyNames(options).map((name) => [name, options[name as keyof pg.PoolOptions]]);
  const { connectionString, ...template } = Object.fromEntries(entries) as pg.PoolConfig;
  const parsed = connectionString === undefined ? {} : parse(connectionString);
  return { ...template, ...stated(parsed), ...found };
}

/** Where a server is, by what pg makes of the options; nothing is connected to. */
interface Where {
  /** `host:port`. */
  readonly address: string;
  readonly database: string;
}

function whereOf(config: pg.PoolConfig, which: string): Where {
  try {
    const { host, port, database = '' } = new pg.Client(config);
    return { address: `${host.toLowerCase()}:${port}`, database };
  } catch {
    throw invalidOptions(`${which}: expected a server with options that pg can parse`);
  }
}

function placeOf({ address, database }: Where): string {
  return `${address}/${database}`;
}
