/**
 * Servers by Patroni's REST API: GET /cluster, which every member answers for the whole cluster. Any member will do, so they are asked one after the other. What
 * it says of roles is not gone by: the servers are asked themselves. (https://patroni.readthedocs.io/en/latest/rest_api.html#cluster-status-endpoints)
 */
import { z } from 'zod';
import { discoveryFailed, invalidOptions, wordFor } from '../errors.js';
import { check, label, optionsOf } from '../options/check.js';
import type { Discovery } from '../options/discovery.js';
import type { NodeOptions } from '../options/servers.js';
import { eachOnce, host, port, timeoutMillis, within } from './found.js';
import { type FetchLike, jsonOf } from './json.js';

export type { FetchLike, FetchLikeResponse } from './json.js';

export interface PatroniDiscoveryOptions {
  /** Where the REST API of the members answers, at least one, such as `http://10.0.0.4:8008`; `/cluster` is added. A user and password in it are sent as HTTP's basic authentication. */
  urls: readonly string[];
  /** How long each of them has for its whole answer, in milliseconds, above 0, up to 10,000. Default 2,000. The cluster waits 10 s for all of them. */
  timeoutMillis?: number | undefined;
  /** What asks: for a certificate authority of your own, or a proxy, such as undici's `fetch` with a dispatcher. Default: the global one. */
  fetch?: FetchLike | undefined;
  /** Sent with each request, to these `urls` alone: no redirect is followed. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** Far above what a cluster of hundreds of members says. */
const MAX_BYTES = 1024 * 1024;
/** A replica that streams, or replays from the archive, says so in the place of `running`. */
const UP = new Set(['running', 'streaming', 'in archive recovery']);

const url = z.string().refine((text) => {
  try {
    const { protocol, search, hash, username, password } = new URL(text);
    decodeURIComponent(username + password);
    return /^https?:$/.test(protocol) && search === '' && hash === '';
  } catch {
    return false;
  }
}, 'expected http://host:port or https://host:port');

const schema = optionsOf({
  urls: z.array(url).min(1),
  timeoutMillis,
  fetch: z.custom<FetchLike>((fetch) => typeof fetch === 'function', 'expected a function').optional(),
  headers: z.record(z.string(), z.string()).optional(),
});

const member = z.object({
  name: label,
  role: z.string(),
  state: z.string(),
  // One that has never been up has neither of them.
  host: host.optional(),
  port: port.optional(),
  tags: z.object({ noloadbalance: z.unknown().optional() }).nullish(),
});
const cluster = z.object({ members: z.array(member) });

/**
 * Finds the members of a Patroni cluster that are up, by their names there; one with the tag `noloadbalance` only while it is the leader. It throws, so that
 * nothing changes, when no server answers as Patroni does, or no member is up.
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function patroniDiscovery(options: PatroniDiscoveryOptions): Discovery {
  const { urls, timeoutMillis, fetch, headers = {} } = check(schema, options, 'patroniDiscovery');
  const places = urls.map((text) => placeOf(text, headers));
  let first = 0;

  return async ({ signal }) => {
    const failures: string[] = [];
    for (let i = 0; i < places.length && !signal.aborted; i++) {
      const at = (first + i) % places.length;
      const place = places[at] as Place;
      try {
        const found = await within(timeoutMillis, signal, async (given) => {
          // The global one is looked up each time: tools that watch requests put their own in its place.
          const ask: FetchLike = fetch ?? globalThis.fetch;
          return membersOf(await jsonOf(ask, place.url, { headers: place.headers, signal: given }, MAX_BYTES));
        });
        first = at;
        return found;
      } catch (error) {
        failures.push(`${place.url}: ${wordFor(error)}`);
        // Where time ends with one that hangs, the next round begins with another.
        if (signal.aborted) first = (at + 1) % places.length;
      }
    }
    const reasons = failures.length === 0 ? 'the answer is no longer waited for' : failures.join('; ');
    throw discoveryFailed(`patroniDiscovery: ${reasons}`);
  };
}

interface Place {
  readonly url: string;
  readonly headers: Record<string, string>;
}

/** `fetch` takes no URL with a user in it, and error messages must have none. */
function placeOf(text: string, given: Readonly<Record<string, string>>): Place {
  const place = new URL(text);
  const { username, password } = place;
  place.username = '';
  place.password = '';
  place.pathname = `${place.pathname.replace(/\/+$/, '')}/cluster`;
  const headers = headersOf(given);
  if (username !== '' || password !== '') {
    const login = [username, password].map(decodeURIComponent).join(':');
    if (!headers.has('authorization')) headers.set('authorization', `Basic ${Buffer.from(login).toString('base64')}`);
  }
  return { url: place.href, headers: Object.fromEntries(headers) };
}

function headersOf(given: Readonly<Record<string, string>>): Headers {
  try {
    return new Headers(given);
  } catch {
    throw invalidOptions('patroniDiscovery: headers: expected names and values that HTTP allows');
  }
}

function membersOf(answer: unknown): NodeOptions[] {
  const checked = cluster.safeParse(answer);
  if (!checked.success) {
    const issues = checked.error.issues
      .slice(0, 3)
      .map(({ path, message }) => `${path.join('.') || 'answer'}: ${message}`);
    throw discoveryFailed(`expected what Patroni says to GET /cluster; ${issues.join('; ')}`);
  }
  const up = checked.data.members.filter(
    ({ state, role, tags }) => UP.has(state) && (!tags?.noloadbalance || role === 'leader'),
  );
  if (up.length === 0) throw discoveryFailed('no member is up');
  const names = new Set<string>();
  const found = up.map(({ name, host, port }) => {
    if (names.has(name)) throw discoveryFailed(`two members are named ${JSON.stringify(name)}`);
    if (host === undefined) throw discoveryFailed(`the member ${JSON.stringify(name)} is up and has no host`);
    names.add(name);
    return { name, host, ...(port === undefined ? {} : { port }) };
  });
  return eachOnce(found, 'the answer');
}
