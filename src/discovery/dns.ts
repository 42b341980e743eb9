/**
 * Servers by DNS: the addresses behind a name, or its SRV records. It asks a name server itself, each time anew, and never goes by /etc/hosts or the search
 * domains of the machine; how long an answer holds, the caller decides.
 */
import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { z } from 'zod';
import { discoveryFailed, invalidOptions, wordFor } from '../errors.js';
import { check, optionsOf, withoutUndefined } from '../options/check.js';
import type { Discovery } from '../options/discovery.js';
import type { NodeOptions } from '../options/servers.js';
import { type CommonLabels, commonLabels, eachOnce, host, port, timeoutMillis, within } from './found.js';

/** Beside them `zone` and `lane`, which then hold for all servers found, and `weight`; with SRV that of the records is not looked at then. */
export interface DnsDiscoveryOptions extends CommonLabels {
  /** The whole name: no search domain is added. In Kubernetes that of a headless service, `db-replicas.default.svc.cluster.local`. */
  hostname: string;
  /** `A` (default) and `AAAA`: each address is a server. `SRV`: each target of the lowest priority, with its own port and its weight as the node's (RFC 2782). */
  record?: 'A' | 'AAAA' | 'SRV' | undefined;
  /** The port at each address, 1 to 65,535. Default: that of the first server. None with SRV. */
  port?: number | undefined;
  /** The name servers, as `dns.setServers` takes them: addresses, with a port where it is not 53. Default: those of the machine. */
  servers?: readonly string[] | undefined;
  /** How long the name servers have for an answer, tried twice, in milliseconds, above 0, up to 10,000. Default 2,000. */
  timeoutMillis?: number | undefined;
  /** With A and AAAA, what the certificates of the servers are checked against where TLS is used. Default: `hostname`. With SRV it is the record's target. */
  servername?: string | undefined;
}

const schema = optionsOf({
  ...commonLabels,
  hostname: host.refine((name) => isIP(name) === 0, 'expected a name, got an address'),
  record: z.enum(['A', 'AAAA', 'SRV']).default('A'),
  port: port.optional(),
  servers: z.array(z.string()).min(1).optional(),
  timeoutMillis,
  servername: host.optional(),
});

type Settings = z.infer<typeof schema>;

/**
 * Finds servers by DNS. It throws, so that nothing changes, when no name server answers in time, or the answer has no server in it.
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function dnsDiscovery(options: DnsDiscoveryOptions): Discovery {
  const settings = check(schema, options, 'dnsDiscovery');
  const { hostname, record, timeoutMillis } = settings;
  for (const option of ['port', 'servername'] as const) {
    if (record === 'SRV' && settings[option] !== undefined) {
      throw invalidOptions(`dnsDiscovery: ${option}: expected none with SRV records, which have their own`);
    }
  }
  resolverOf(settings);

  return async ({ signal }) => {
    const who = `dnsDiscovery: ${record} records of ${hostname}`;
    // One for each answer: cancelling ends all that a resolver is at, and the machine's name servers may have changed.
    const resolver = resolverOf(settings);
    let found: NodeOptions[];
    try {
      found = await within(timeoutMillis, signal, (given) => {
        given.addEventListener('abort', () => resolver.cancel(), { once: true });
        return record === 'SRV' ? services(resolver, settings) : addresses(resolver, settings);
      });
    } catch (error) {
      throw discoveryFailed(`${who}: ${reasons[(error as NodeJS.ErrnoException).code ?? ''] ?? wordFor(error)}`, error);
    }
    if (found.length === 0) throw discoveryFailed(`${who}: the answer has no server in it`);
    return eachOnce(found, who);
  };
}

function resolverOf({ servers, timeoutMillis }: Settings): Resolver {
  // c-ares looks at its clock so rarely that a try takes up to twice its time: with a quarter for the first, there is time for the second.
  const resolver = new Resolver({ timeout: Math.ceil(timeoutMillis / 4), tries: 2 });
  try {
    if (servers !== undefined) resolver.setServers(servers);
  } catch {
    throw invalidOptions('dnsDiscovery: servers: expected addresses such as 10.0.0.2, 10.0.0.2:53 or [fd00::2]:53');
  }
  return resolver;
}

async function addresses(resolver: Resolver, settings: Settings): Promise<NodeOptions[]> {
  const { hostname, record, port, servername = hostname, weight, zone, lane } = settings;
  const found = await (record === 'A' ? resolver.resolve4(hostname) : resolver.resolve6(hostname));
  const common = { ...(port === undefined ? {} : { port }), servername, ...withoutUndefined({ weight, zone, lane }) };
  return found.map((host) => ({ host, ...common }));
}

async function services(resolver: Resolver, { hostname, weight, zone, lane }: Settings): Promise<NodeOptions[]> {
  const records = await resolver.resolveSrv(hostname);
  // The target "." and the port 0 say that there is no such service.
  const usable = records.filter((record) => host.safeParse(record.name).success && record.port > 0);
  const lowest = Math.min(...usable.map(({ priority }) => priority));
  const chosen = usable.filter(({ priority }) => priority === lowest);
  // RFC 2782: all 0 where nothing is to be chosen by weight; a 0 beside others has "a very small chance".
  const small = Math.min(...chosen.map((record) => record.weight).filter((own) => own > 0)) / 10;
  return chosen.map(({ name, port, weight: own }) => {
    const recorded = own > 0 ? own : Number.isFinite(small) ? small : undefined;
    return { host: name, port, ...withoutUndefined({ weight: weight ?? recorded, zone, lane }) };
  });
}

const reasons: Record<string, string> = {
  ENOTFOUND: 'there is no such name (NXDOMAIN)',
  ENODATA: 'the name has no such records',
  ESERVFAIL: 'the name server has failed (SERVFAIL)',
  EREFUSED: 'the name server refuses to answer',
  ETIMEOUT: 'no name server has answered',
  ECONNREFUSED: 'no name server can be reached',
};
