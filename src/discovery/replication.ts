/**
 * Servers by what PostgreSQL knows itself: every server tells who receives its log (pg_stat_replication), so that cascading replicas are found below their own
 * upstream. It opens no connection. A server leaves when no server sends it log any more and it does not answer either.
 */
import { z } from 'zod';
import { discoveryFailed } from '../errors.js';
import { check, optionsOf } from '../options/check.js';
import type { Discovery, NodeAnswer } from '../options/discovery.js';
import { type NodeOptions, shownName } from '../options/servers.js';
import { own } from '../postgres/own-statements.js';
import { eachOnce } from './found.js';

/** A standby, as its upstream sees it. */
export interface WalReceiver {
  /** Its `cluster_name`, or what its `primary_conninfo` says. */
  readonly applicationName: string;
  /** An IPv4 or IPv6 address, as its upstream sees it. */
  readonly clientAddress: string;
  /** Only where the upstream has `log_hostname` on. */
  readonly clientHostname: string | null;
  readonly state: 'streaming' | 'catchup';
}

export interface ReplicationDiscoveryOptions {
  /**
   * How a standby is reached, or `undefined` for one to leave out. Default: at its address and the first server's port. Of those at one place, one is taken. A
   * connection string or a pool needs a `name`, so that the server is known again when no server sends it log.
   */
  node?: ((row: WalReceiver) => NodeOptions | undefined) | undefined;
  /** Only standbys that replicate as this role. Default: any. */
  user?: string | undefined;
}

interface Row extends Omit<WalReceiver, 'state' | 'clientAddress'> {
  readonly user: string;
  readonly state: WalReceiver['state'] | null;
  /** `null` through a Unix socket. */
  readonly clientAddress: string | null;
}

/**
 * Who sends log to a subscriber is connected to a database, and to a standby to none. pg_receivewal, the receiver of pg_basebackup and backup tools tell
 * what they have written, and replay nothing. Who may not see the rows sees NULL for the state; others do not. Operators are qualified: on the role's
 * search path plain ones may be another role's.
 */
const STANDBYS =
  own(`select r.application_name as "applicationName", pg_catalog.host(r.client_addr) as "clientAddress", r.client_hostname as "clientHostname",
  r.state, r.usename as "user"
from pg_catalog.pg_stat_replication r join pg_catalog.pg_stat_activity a on a.pid operator(pg_catalog.=) r.pid and a.datid is null
where r.state is null or (r.state operator(pg_catalog.=) any ('{streaming,catchup}') and r.replay_lsn is not null)`);

const schema = optionsOf({
  node: z
    .custom<NonNullable<ReplicationDiscoveryOptions['node']>>(
      (node) => typeof node === 'function',
      'expected a function',
    )
    .optional(),
  user: z.string().min(1).optional(),
});

/**
 * Finds the standbys of all servers that answer, by the view pg_stat_replication; the role needs pg_read_all_stats. It throws, so that nothing changes, when no
 * primary answers, or a server does not let the role see its rows. Loopback addresses, Unix sockets and proxies between the servers hide where a standby is:
 * `node` can tell by its name.
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function replicationDiscovery(options: ReplicationDiscoveryOptions = {}): Discovery {
  const { node = atItsAddress, user } = check(schema, options, 'replicationDiscovery');
  let last: readonly NodeOptions[] = [];

  return async (context) => {
    const answers = await context.ask<Row>(STANDBYS);
    // Without the primary its own standbys are unknown, and not gone.
    if (!answers.some(({ role }) => role === 'primary')) {
      throw discoveryFailed('replicationDiscovery: no primary has answered, so that its standbys are not known');
    }
    const found = answers.flatMap((answer) => standbysOf(answer, user)).map((row) => asked(node, row));
    // No server sends log to a standby that was promoted, nor to one whose upstream was lost until it has another.
    const alive = last.filter((server) => answers.some((answer) => isNamed(server, answer.node)));
    last = eachOnce([...found.filter((server) => server !== undefined), ...alive], 'replicationDiscovery');
    return last;
  };
}

function asked(node: NonNullable<ReplicationDiscoveryOptions['node']>, row: WalReceiver): NodeOptions | undefined {
  const server: unknown = node(row) ?? undefined;
  if (server !== undefined && typeof server !== 'string' && typeof server !== 'object')
    throw discoveryFailed(`replicationDiscovery: node: expected a server or undefined, got a ${typeof server}`);
  return server as NodeOptions | undefined;
}

function atItsAddress({ clientAddress }: WalReceiver): NodeOptions {
  return { host: clientAddress };
}

function standbysOf(answer: NodeAnswer<Row>, user: string | undefined): WalReceiver[] {
  return answer.rows.flatMap(({ user: role, clientAddress, state, ...row }) => {
    if (state === null) {
      throw discoveryFailed(
        `replicationDiscovery: the role may not see who replicates from ${answer.node}: grant it pg_read_all_stats (or pg_monitor)`,
      );
    }
    if (clientAddress === null || (user !== undefined && role !== user)) return [];
    return [{ ...row, clientAddress, state }];
  });
}

/**
 * Whether a server that was found is the node of that name. One without a name of its own is called `host:port`, with the first server's port where it has none; one
 * whose name another has `name@host:port`.
 */
function isNamed(server: NodeOptions, node: string): boolean {
  if (typeof server === 'string') return false;
  const name = shownName(server.name);
  if (name !== undefined) return node === name || node.startsWith(`${name}@`);
  if ('pool' in server || server.host === undefined) return false;
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(node) ?? [];
  return host === server.host.toLowerCase() && (server.port === undefined || String(server.port) === port);
}
