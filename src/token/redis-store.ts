/**
 * A TokenStore on Redis, for several processes: Redis decides in one step which of two tokens
 * stays, so that a late one lowers nothing. No token is in any of its errors.
 */

import { z } from 'zod';
import { within } from '../deadline.js';
import { invalidOptions, LadderError } from '../errors.js';
import { check, optionsOf } from '../options/check.js';
import { type IoredisClient, type NodeRedisClient, RedisScripts, type Script, scriptOf } from '../redis-client.js';
import { MAX_CLUSTERS, MAX_TOKENS, mergedTokens } from './merge.js';
import { ALL_CLUSTERS, orderOf, SEPARATOR } from './order.js';
import type { TokenStore } from './store.js';

export type { IoredisClient, NodeRedisClient } from '../redis-client.js';
export type { TokenStore } from './store.js';

export interface RedisTokenStoreOptions {
  /** How its keys in Redis begin; the caller's key follows. Default `pg-ladder:`. */
  prefix?: string;
  /**
   * How long Redis has for an answer, in milliseconds, above 0, up to 10,000. Clients that have
   * lost their server keep what they are asked for much longer. Default 100.
   */
  timeoutMillis?: number;
}

/** In one hash: all tokens that may be kept, and the two fields of 0.1.0. */
const MAX_ENTRIES = MAX_TOKENS + 2;
/** Where the token stands in what PUT keeps, and how long that is at most. */
const TOKEN_AT = 5;
const MAX_ENTRY_LENGTH = 256;
/** Whatever is a token, or has been cut out of one. */
const TOKEN_IN_TEXT = /[23][0-9a-f]{7,}[\w-]*/g;

/**
 * Lua's numbers are exact to 2^53 and its strings compare by the server's locale: positions come in
 * integers below that. Each token stands with them in a field of its cluster; of two that stand
 * alike, the one that was made later stays. What has expired goes. So does, as a whole, the cluster
 * whose newest token is the oldest where there are too many.
 *
 * Release 0.1.0 knows two fields, of one cluster: tokens that it can read are kept there, too, by
 * its own rule for two clusters, by which the token that was made later stays.
 */
const PUT = scriptOf(`
local function read(entry)
  return { string.match(entry, '^(%d+) (%d+) (%d+) (%d+) (%x+) ') }
end
local function isBelow(kept, at)
  local order = read(kept)
  local isSameCluster = order[5] == ARGV[at + 5]
  for i = isSameCluster and 1 or 4, 4 do
    local before, now = tonumber(order[i]), tonumber(ARGV[at + i])
    if before ~= now then return before == nil or before < now end
  end
  return true
end
local function keep(field, at)
  local kept = redis.call('HGET', KEYS[1], field)
  if not kept or isBelow(kept, at) then
    redis.call('HSET', KEYS[1], field, table.concat(ARGV, ' ', at + 1, at + 6))
  end
end
for at = 2, #ARGV, 7 do
  keep(ARGV[at] .. ':' .. ARGV[at + 5], at)
  if string.sub(ARGV[at + 6], 1, 1) == '2' then keep(ARGV[at], at) end
end
local entries, newest, clusters, latest = {}, {}, {}, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local order = read(all[i + 1])
  local cluster, issuedAt = order[5] or '', tonumber(order[4]) or 0
  entries[#entries + 1] = { all[i], cluster, issuedAt }
  if not newest[cluster] and cluster ~= '${ALL_CLUSTERS}' then clusters[#clusters + 1] = cluster end
  newest[cluster] = math.max(newest[cluster] or 0, issuedAt)
  latest = math.max(latest, issuedAt)
end
table.sort(clusters, function(a, b)
  if newest[a] ~= newest[b] then return newest[a] > newest[b] end
  return a < b
end)
local isBeyond = {}
for i = ${MAX_CLUSTERS} + 1, #clusters do isBeyond[clusters[i]] = true end
for _, entry in ipairs(entries) do
  if isBeyond[entry[2]] or latest - entry[3] >= tonumber(ARGV[1]) then redis.call('HDEL', KEYS[1], entry[1]) end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
`);

/** A script, too: plain reads may go to a replica of Redis, which lags as ours do. */
const GET = scriptOf(`return redis.call('HVALS', KEYS[1])`);

/**
 * A store on Redis, for all processes that share it: per key one hash, which expires, with the
 * highest position and the latest primary-only token of each cluster in it. Its `get` and `put` reject as the
 * client does, with `LADDER_TIMEOUT` when Redis does not answer in time, and with
 * `LADDER_OVERLOADED` while 10,000 answers are awaited; no token is in any of their errors. What
 * Redis evicts, or loses in a failover, no session is held to.
 * @param client connected or about to be, of node-redis 4 and above or of ioredis; opening, closing
 * and its `error` event stay with the application
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function redisTokenStore(
  client: NodeRedisClient | IoredisClient,
  options: RedisTokenStoreOptions = {},
): TokenStore {
  const { prefix, timeoutMillis } = check(schema, options, 'token store');
  const scripts = new RedisScripts(client, {
    owner: 'token store',
    clean: (words) => words.replace(TOKEN_IN_TEXT, '…'),
  });
  const ask = async (script: Script, key: string, args: string[]): Promise<unknown> =>
    answered(timeoutMillis, scripts.run(script, [`${prefix}${key}`], args));

  return {
    async get(key) {
      const tokens = tokensIn(await ask(GET, key, []));
      return tokens.length === 0 ? undefined : mergedTokens(tokens.join(SEPARATOR), '');
    },
    async put(key, token, lifetimeMillis) {
      if (!Number.isFinite(lifetimeMillis) || lifetimeMillis <= 0) {
        throw invalidOptions('token store: lifetimeMillis: expected a number above 0');
      }
      const entries = mergedTokens(token, '').split(SEPARATOR).flatMap(entryOf);
      if (entries.length === 0) return;
      await ask(PUT, key, [String(Math.min(Math.ceil(lifetimeMillis), Number.MAX_SAFE_INTEGER)), ...entries]);
    },
  };
}

const schema = optionsOf({
  prefix: z.string().default('pg-ladder:'),
  timeoutMillis: z.number().positive().max(10_000).default(100),
});

/**
 * The arguments of PUT for one token: its field, its position and its text; none for a text that is
 * no token.
 */
function entryOf(token: string): string[] {
  const order = orderOf(token);
  if (order === undefined) return [];
  const { isPrimaryOnly, clusterId, timeline, high, low, issuedAt } = order;
  return [
    isPrimaryOnly ? 'primary-only' : 'position',
    ...[timeline, high, low, issuedAt].map(String),
    clusterId,
    token,
  ];
}

/**
 * What GET has answered, if it was GET that answered.
 * @throws Error otherwise: what that key was given is not known then
 */
function tokensIn(answer: unknown): string[] {
  if (!Array.isArray(answer) || answer.length > MAX_ENTRIES) throw unexpected();
  return (answer as unknown[]).map((entry) => {
    // Node-redis gives bytes where it was told to.
    const isText = typeof entry === 'string' || Buffer.isBuffer(entry);
    if (!isText || entry.length > MAX_ENTRY_LENGTH) throw unexpected();
    const token = entry.toString().split(' ')[TOKEN_AT] ?? '';
    if (orderOf(token) === undefined) throw unexpected();
    return token;
  });
}

function unexpected(): Error {
  return new Error('token store: Redis answered with something else than what was kept');
}

function answered<T>(millis: number, answer: Promise<T>): Promise<T> {
  const late = `token store: Redis did not answer within ${millis} ms`;
  return within(answer, millis, () => new LadderError('LADDER_TIMEOUT', late));
}
