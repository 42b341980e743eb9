/**
 * The token store of release 0.1.0: its two scripts as they were, called as it called them. What
 * stands in Redis when a process of this version comes up, and what is put beside it until the last
 * old process is gone.
 */
import { orderOf } from '../../../src/token/order.js';
import type { TokenStore } from '../../../src/token/store.js';

const PUT = `
local function isBelow(kept, at)
  local order = { string.match(kept, '^(%d+) (%d+) (%d+) (%d+) (%x+) ') }
  local isSameCluster = order[5] == ARGV[at + 5]
  for i = isSameCluster and 1 or 4, 4 do
    local before, now = tonumber(order[i]), tonumber(ARGV[at + i])
    if before ~= now then return before == nil or before < now end
  end
  return true
end
local latest = 0
for at = 2, #ARGV, 7 do
  latest = math.max(latest, tonumber(ARGV[at + 4]))
  local kept = redis.call('HGET', KEYS[1], ARGV[at])
  if not kept or isBelow(kept, at) then
    redis.call('HSET', KEYS[1], ARGV[at], table.concat(ARGV, ' ', at + 1, at + 6))
  end
end
local mark = redis.call('HGET', KEYS[1], 'primary-only')
local markedAt = mark and tonumber(string.match(mark, '^%d+ %d+ %d+ (%d+) '))
if markedAt and latest - markedAt >= tonumber(ARGV[1]) then redis.call('HDEL', KEYS[1], 'primary-only') end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
`;

const GET = `return redis.call('HMGET', KEYS[1], 'primary-only', 'position')`;

interface ScriptClient {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/** Its tokens come one at a time: it knew one cluster only. */
export function storeOf010(client: ScriptClient): TokenStore {
  return {
    async get(key) {
      const answer = (await client.eval(GET, { keys: [`pg-ladder:${key}`], arguments: [] })) as (string | null)[];
      const tokens = answer.flatMap((entry) => (entry === null ? [] : [entry.split(' ')[5]]));
      return tokens.length === 0 ? undefined : tokens.join('.');
    },
    async put(key, token, lifetimeMillis) {
      const order = orderOf(token);
      if (order === undefined || !token.startsWith('2')) throw new Error('0.1.0 writes tokens of version 2');
      const { isPrimaryOnly, clusterId, timeline, high, low, issuedAt } = order;
      const field = isPrimaryOnly ? 'primary-only' : 'position';
      const position = [timeline, high, low, issuedAt].map(String);
      const entry = [field, ...position, clusterId, token];
      await client.eval(PUT, { keys: [`pg-ladder:${key}`], arguments: [String(lifetimeMillis), ...entry] });
    },
  };
}
