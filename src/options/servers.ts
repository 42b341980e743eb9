/**
 * How a server is given: by a connection string, pg's options or a pool. And what is known of it
 * before it is asked.
 */
import pg from 'pg';
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import { editsBetween } from '../nearest.js';
import { MAX_NAME_LENGTH, PRINTABLE, printable } from '../printable.js';
import { label } from './check.js';
import { DiscreetPool } from './discreet-pool.js';
import { named } from './servername.js';

/** A server: a connection string, pg's own pool options, or a pool that stays yours. */
export type NodeOptions = string | (pg.PoolConfig & NodeLabels) | ({ pool: pg.Pool } & NodeLabels);

/** What the library adds to pg's options for a server. */
export interface NodeLabels {
  /**
   * How the node is called in events, stats and `target`, at most 255 characters; partition keys go
   * by it. Default: `primary`, and `r1`, `r2`, … for the replicas by their places in the list;
   * `n1`, `n2`, … for `nodes`; its host in a URL with several; `host:port` for one that discovery
   * found.
   */
  name?: string | undefined;
  /** A replica's share of the reads beside the others', above 0, at most 1,000,000. Default 1. */
  weight?: number | undefined;
  /**
   * Where it stands, such as an availability zone, at most 255 characters; see
   * `zone` of the cluster. Default: nowhere in particular.
   */
  zone?: string | undefined;
  /**
   * What the server's certificate is checked against, instead of its host: for servers that are
   * reached by their addresses, or by a balancer's or tunnel's. At most 255 characters. Default:
   * the host; for one that discovery found at an address, the first server's `servername`.
   */
  servername?: string | undefined;
  /**
   * Whether short reads share connections of this node's own; see `lane` of the cluster.
   * Default: the cluster's.
   */
  lane?: boolean | undefined;
}

/** The servers with a first guess at who is who; what they say of themselves decides. */
export interface LabelledNodes {
  /** The server that takes writes. */
  primary: NodeOptions;
  /** Its streaming replicas; none is allowed, and sends everything to the primary. */
  replicas?: readonly NodeOptions[] | undefined;
  nodes?: undefined;
}

/** The servers without a guess: which one is the primary is found out by asking them. */
export interface UnlabelledNodes {
  /** At least one. Named `n1`, `n2`, … unless they have names. */
  nodes: readonly NodeOptions[];
  primary?: undefined;
  replicas?: undefined;
}

export interface NodeSettings {
  readonly name: string;
  /** The first guess. */
  readonly role: 'primary' | 'replica';
  readonly weight: number;
  readonly zone: string | undefined;
  readonly pool: pg.Pool;
  /** Whether the library made the pool and so ends it. */
  readonly ownsPool: boolean;
  /** `undefined`: unless something speaks against it. */
  readonly lane: boolean | undefined;
}

export const weight = z.number().positive().max(1_000_000);

// pg's own options are its own: they pass through untouched, and pg judges them; but it takes an
// address in place of a host or a port for one, and quotes it in its errors.
const host = z
  .string()
  .regex(/^(\/.*|[^\s/@]*)$/, 'expected the name or the address of a host, or the directory of a socket')
  .regex(PRINTABLE, 'expected a host without control characters');
const aPort = 'expected a port, 0 to 65535';
const port = z.union([z.int(aPort).min(0, aPort).max(65_535, aPort), z.string().regex(/^\d{0,5}$/, aPort)], aPort);

/**
 * What all servers are given by. pg takes any other option, and passes over what it does not know:
 * with one of these mistyped, it would connect to another server.
 */
const USUAL = [
  'name',
  'weight',
  'zone',
  'servername',
  'lane',
  'connectionString',
  'host',
  'port',
  'user',
  'password',
  'database',
];

/** The usual option that was meant by one that is a single letter away from it; one that is given as well was not. */
function usual(option: string, given: object): string | undefined {
  if (option.length > 64 || USUAL.includes(option)) return undefined;
  return USUAL.find((name) => !(name in given) && editsBetween(option.toLowerCase(), name.toLowerCase()) <= 1);
}

export const node = z.union(
  [
    z.string().min(1),
    z
      .looseObject({
        name: label.regex(/^(?!.*:\/\/)/, 'expected a name, got an address').optional(),
        weight: weight.optional(),
        zone: label.optional(),
        servername: label.optional(),
        lane: z.boolean().optional(),
        host: host.nullish(),
        port: port.nullish(),
      })
      .check(({ value, issues }) => {
        // A class of clients of one's own may have options of its own.
        if (typeof value['Client'] === 'function') return;
        for (const option of Object.keys(value)) {
          const meant = usual(option, value);
          if (meant === undefined) continue;
          issues.push({
            code: 'custom',
            path: [option],
            message: `unknown option, did you mean "${meant}"?`,
            input: value,
          });
        }
      }),
  ],
  "expected a connection string, pg's options or { pool }",
);

export function nodesOf(
  { primary, replicas, nodes }: LabelledNodes | UnlabelledNodes,
  lane: boolean | undefined,
): NodeSettings[] {
  const settings = (options: NodeOptions, name: string, where: string, role: NodeSettings['role']): NodeSettings => {
    const own = nodeSettings(options, name, where, role);
    return { ...own, lane: own.lane ?? lane };
  };
  if (nodes !== undefined) {
    if (primary === undefined && replicas === undefined) {
      return nodes.map((node, i) => settings(node, `n${i + 1}`, `nodes[${i}]`, i === 0 ? 'primary' : 'replica'));
    }
    throw invalidOptions('createCluster: expected either nodes or primary and replicas, got both');
  }
  if (primary === undefined)
    throw invalidOptions('createCluster: primary: expected a server, or all of them as nodes, got undefined');
  const others = (replicas ?? []).map((node, i) => settings(node, `r${i + 1}`, `replicas[${i}]`, 'replica'));
  return [settings(primary, 'primary', 'primary', 'primary'), ...others];
}

export function nodeSettings(
  options: NodeOptions,
  defaultName: string,
  where: string,
  role: NodeSettings['role'],
): NodeSettings {
  if (typeof options === 'string') {
    const pool = new DiscreetPool({ connectionString: checkedUrl(options, where) });
    return { name: defaultName, role, weight: 1, zone: undefined, pool, ownsPool: true, lane: undefined };
  }
  checkConfig(options, where);
  const { name: called, weight = 1, zone, lane, servername, ...config } = options;
  const name = shownName(called) ?? defaultName;
  if ('pool' in config) {
    return { name, role, weight, zone, pool: openPool(config.pool, where), ownsPool: false, lane };
  }
  if ('connectionString' in config) checkedUrl(config.connectionString, `${where}.connectionString`);
  return { name, role, weight, zone, pool: new DiscreetPool(named(config, servername)), ownsPool: true, lane };
}

/**
 * A name as events, stats and `target` have it; `undefined` for one of which nothing can be shown.
 */
export function shownName(name: string | undefined): string | undefined {
  return (name !== undefined && printable(name, MAX_NAME_LENGTH).trim()) || undefined;
}

/**
 * @throws LadderError `LADDER_INVALID_OPTIONS` for an instance of what has none of pg's options: it
 * would silently stand for the server that the environment names
 */
export function checkConfig(options: object, where: string): void {
  if (!('connect' in options || options instanceof URL)) return;
  throw invalidOptions(
    `${where}: expected pg's options, got an object of another kind: a pool is given as { pool }, a URL as its text`,
  );
}

/** @throws LadderError `LADDER_INVALID_OPTIONS` for one that is none, or was ended */
export function openPool(pool: pg.Pool | undefined, where: string): pg.Pool {
  if (typeof pool?.connect !== 'function' || typeof pool.on !== 'function') {
    throw invalidOptions(`${where}.pool: expected a pg.Pool`);
  }
  if (pool.ending) throw invalidOptions(`${where}.pool: expected an open pg.Pool, this one was ended`);
  return pool;
}

/**
 * A URL with several hosts, as libpq takes them: everything else in it holds for each. A node is
 * named by its host, with the port where hosts repeat.
 */
export function nodesFromUrl(url: string): NodeOptions[] {
  const [, scheme, login = '', hosts, rest = ''] =
    /^(postgres(?:ql)?:\/\/)([^/?#]*@)?([^/?#@]*)([/?#].*)?$/.exec(url.trim()) ?? [];
  if (scheme === undefined || hosts === undefined || hosts === '') {
    throw invalidOptions(
      'createCluster: expected postgres://user:password@host1:port1,host2:port2/database, got text that is none',
    );
  }
  const places = hosts.split(',');
  const names = places.map((place) => place.replace(/:\d*$/, ''));
  return places.map((place, i) => {
    const name = names[i] as string;
    if (name === '')
      throw invalidOptions('createCluster: expected a host before and after each comma of the URL, got an empty one');
    const isUnique = names.indexOf(name) === names.lastIndexOf(name);
    return { name: isUnique ? name : place, connectionString: `${scheme}${login}${place}${rest}` };
  });
}

/** @throws LadderError `LADDER_INVALID_OPTIONS`, without the text */
export function checkedUrl(url: string | undefined, where: string): string {
  if (typeof url !== 'string' || url.trim() === '') {
    const got = url === undefined ? 'undefined (is the environment variable set?)' : 'an empty one';
    throw invalidOptions(`${where}: expected a connection string, got ${got}`);
  }
  const hosts = hostsOf(url.trim());
  if (hosts === undefined) {
    throw invalidOptions(
      `${where}: expected postgres://user:password@host:port/database, or { host, port }, got text that is none`,
    );
  }
  if (hosts.includes(',')) {
    throw invalidOptions(
      `${where}: expected one host, got several: each server stands by itself, or all of them in createCluster(url)`,
    );
  }
  return url;
}

/**
 * What pg makes of it; `undefined` for what is no connection string: pg takes any text for one, and
 * its own message quotes it, password included.
 */
function hostsOf(url: string): string | undefined {
  if (!/^(postgres(ql)?:\/\/|socket:|\/)/.test(url)) return undefined;
  try {
    return new pg.Client({ connectionString: url }).host; // parses, connects to nothing
  } catch {
    return undefined;
  }
}

export function rejectTwins(nodes: readonly NodeSettings[]): void {
  const names = new Set<string>();
  const pools = new Set<pg.Pool>();
  for (const { name, pool } of nodes) {
    if (names.has(name)) throw invalidOptions(`createCluster: two nodes are named "${name}"; names must differ`);
    if (pools.has(pool))
      throw invalidOptions(`createCluster: node "${name}" has the same pool as another one; each server needs its own`);
    names.add(name);
    pools.add(pool);
  }
}
