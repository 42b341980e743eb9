/**
 * What a discovery names, made into servers that can be told apart and opened: nothing is connected
 * to here.
 */
import { isIP } from 'node:net';
import type pg from 'pg';
import { parse } from 'pg-connection-string';
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import { check, withoutUndefined } from './check.js';
import { type InheritCredentials, refusalToInherit, withoutLogin } from './credentials.js';
import { clientOf, placeIn, placeOf, type Where } from './place.js';
import { givenTls } from './servername.js';
import {
  checkConfig,
  checkedUrl,
  type NodeLabels,
  type NodeOptions,
  type NodeSettings,
  node,
  nodeSettings,
  openPool,
  shownName,
} from './servers.js';

/** A server that was found. */
export interface FoundServer {
  readonly name: string;
  /**
   * `host:port/database`, or the pool that was handed in: another one is another server, whatever
   * its name. A pooler serves several at one address, by their databases.
   */
  readonly place: string | pg.Pool;
  readonly weight: number;
  readonly zone: string | undefined;
  /** Makes its pool. */
  open(): NodeSettings;
}

/**
 * Each server costs connections: an answer that has more than any cluster is a mistake, or no
 * answer of a friend.
 */
export const MAX_SERVERS = 1_000;

/** What becomes of an answer. */
export interface Found {
  readonly servers: readonly FoundServer[];
  /** Those that would be sent a login that is not theirs, see {@link refusalToInherit}. */
  readonly refused: readonly RefusedServer[];
}

/** A server that was found and is not joined. */
export interface RefusedServer {
  /** Its name and its place. */
  readonly who: string;
  /** Why, and the remedy. */
  readonly why: string;
}

/** What the cluster says of all servers that are found. */
export interface FoundDefaults {
  /** Whether they share connections where they say nothing of it. */
  readonly lane: boolean | undefined;
  readonly inheritCredentials: InheritCredentials;
}

const found = z.array(node).max(MAX_SERVERS, `expected at most ${MAX_SERVERS} servers`);
/** Without any of these it would be the first server once more. */
const SAYS_WHERE = ['host', 'port', 'database', 'connectionString', 'pool'];

/**
 * @param given the servers that are there anyway; the first one's options are what found ones leave
 * out
 * @returns each server once, and none of the given ones
 * @throws LadderError `LADDER_INVALID_OPTIONS`, of all of them, when one makes no sense
 */
export function foundServers(answer: unknown, given: readonly NodeSettings[], defaults: FoundDefaults): Found {
  check(found, answer, 'discovery');
  const [{ pool: template }] = given as [NodeSettings];
  const known = new Set<string | pg.Pool>(
    given.flatMap(({ pool, name }) => [pool, placeOf(whereOf(pool.options, name))]),
  );
  const names = new Set(given.map(({ name }) => name));
  const servers: FoundServer[] = [];
  const refused: RefusedServer[] = [];
  for (const [i, options] of (answer as readonly NodeOptions[]).entries()) {
    const server = foundServer(options, template, defaults, `discovery[${i}]`);
    if (known.has(server.place)) continue;
    known.add(server.place);
    const { where, own, refusal, ...rest } = server;
    const place = shownName(placeOf(where)) as string;
    if (refusal !== undefined) {
      refused.push({ who: own === undefined ? `"${place}"` : `"${own}" (${place})`, why: refusal });
      continue;
    }
    // Of several servers of one name, the first in the answer has it to itself.
    const address = shownName(where.address) as string;
    const more = own === undefined ? [place] : [`${own}@${address}`, `${own}@${place}`];
    const name = [own ?? address, ...more].find((one) => !names.has(one)) ?? own ?? address;
    names.add(name);
    servers.push({ ...rest, name, open: () => ({ ...server.open(), name }) });
  }
  return { servers, refused };
}

interface Prospective extends Omit<FoundServer, 'name'> {
  readonly where: Where;
  /** The name that was said of it; `undefined` for none, so that it is called by its address. */
  readonly own: string | undefined;
  readonly refusal: string | undefined;
}

function foundServer(
  given: NodeOptions,
  template: pg.Pool,
  { lane, inheritCredentials }: FoundDefaults,
  which: string,
): Prospective {
  if (typeof given === 'object') checkConfig(given, which);
  const options =
    typeof given === 'string' ? { connectionString: given } : (withoutUndefined(given) as Exclude<NodeOptions, string>);
  if (!SAYS_WHERE.some((option) => option in options)) {
    throw invalidOptions(
      `${which}: expected a server with ${SAYS_WHERE.join(', ')} or several of these, got none of them`,
    );
  }
  const { weight = 1, zone } = options;
  const isWhole = 'pool' in options || 'connectionString' in options;
  const own = isWhole ? options : laidOver(template, options, inheritCredentials);
  // Whatever makes no sense is found out here, before anything is changed.
  if ('connectionString' in own) checkedUrl(own.connectionString, which);
  const pool = 'pool' in own ? openPool(own.pool, which) : undefined;
  const client = clientOf(pool?.options ?? (own as pg.PoolConfig), which);
  const where = placeIn(client);
  // A pool brings its own login.
  const refusal =
    pool === undefined ? refusalToInherit(options as pg.PoolConfig, client, inheritCredentials) : undefined;
  return {
    own: shownName(options.name),
    place: pool ?? placeOf(where),
    where,
    refusal,
    weight,
    zone,
    open: () => {
      const settings = nodeSettings(own, where.address, which, 'replica');
      return { ...settings, lane: settings.lane ?? lane };
    },
  };
}

/**
 * The first server's options with what was said of this one in their place; also what a pool hides
 * from enumeration, such as the password.
 */
function laidOver(
  { options }: pg.Pool,
  found: pg.PoolConfig & NodeLabels,
  inheritCredentials: InheritCredentials,
): pg.PoolConfig {
  const entries = Object.getOwnPropertyNames(options).map((name) => [name, options[name as keyof pg.PoolOptions]]);
  const { connectionString, toJSON: _, ...own } = Object.fromEntries(entries) as pg.PoolConfig & { toJSON?: unknown };
  const parsed = connectionString === undefined ? {} : withoutUndefined(parse(connectionString));
  // pg takes a port that is text, too.
  const first = { ...own, ...parsed } as pg.PoolConfig;
  // The name for the first server's certificate is not for one that has its own, be it only that of
  // its host.
  const hasName = found.servername !== undefined || (found.host !== undefined && isIP(found.host) === 0);
  if (hasName && typeof first.ssl === 'object') first.ssl = givenTls(first.ssl);
  return { ...(inheritCredentials === 'never' ? withoutLogin(first) : first), ...found };
}

function whereOf(config: pg.PoolConfig, which: string): Where {
  return placeIn(clientOf(config, which));
}
