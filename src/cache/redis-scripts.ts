/**
 * What Redis decides in one step. Scripts that are refused by a replica have no `no-writes` flag;
 * those that have to run when its memory is full have `allow-oom`. All need Redis 7 or Valkey.
 *
 * A *clock* is the time of one run of one server, as long as it is not set back. Its name is in a
 * hash beside the run's id: who finds another id there, or a later time, gives it a new one.
 */
import { scriptOf } from '../redis-client.js';

/** Messages kept at most, and handed out at once. */
export const MAX_KEPT_COUNT = 10_000;
export const PAGE_COUNT = 1_000;
/** What is not renewed for so long goes; in milliseconds. */
const LIFETIME_MILLIS = 24 * 60 * 60_000;
/**
 * The last time is written so often that a clock that is set back by more shows it; in
 * milliseconds.
 */
const MARK_MILLIS = 500;

/** Sorts before what it belongs to: timeline and both halves of the LSN, in hexadecimal digits. */
export const ORDER_LENGTH = 24;

/**
 * KEYS: value, lease. ARGV: order and value, lifetime. Lua's numbers are exact to 2^53 and its
 * strings compare by the server's locale: orders are compared in three integers.
 */
export const SET = scriptOf(`#!lua
local function partsOf(text)
  local order = {}
  for i = 1, 3 do order[i] = tonumber(string.sub(text, i * 8 - 7, i * 8), 16) end
  return order
end
local kept = redis.pcall('GETRANGE', KEYS[1], 0, ${ORDER_LENGTH - 1})
local isLower = false
if type(kept) == 'string' and string.match(kept, '^%x+$') and #kept == ${ORDER_LENGTH} then
  local before, now = partsOf(kept), partsOf(ARGV[1])
  for i = 1, 3 do
    if before[i] ~= now[i] then
      isLower = now[i] < before[i]
      break
    end
  end
end
if not isLower then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('DEL', KEYS[2])
`);

/** KEYS: lease. ARGV: who, lifetime. */
export const LEASE = scriptOf(`#!lua
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
`);

/** KEYS: lease. ARGV: who. */
export const RELEASE = scriptOf(`#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
`);

/**
 * KEYS: state, present, log. ARGV: the name of a new clock. What follows has `clock`, its name, and
 * `at`, its time in milliseconds. A new clock begins without anybody present: those who think that
 * they are will find out when they come next.
 */
const CLOCK = `#!lua flags=allow-oom
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run then return redis.error_reply('NORUNID this server does not tell which run of which server it is') end
local time = redis.call('TIME')
local at = time[1] * 1000 + time[2] / 1000
local function text(number) return string.format('%.3f', number) end
local known = redis.call('HMGET', KEYS[1], 'run', 'clock', 'last')
local clock, last = known[2], tonumber(known[3] or '')
if known[1] ~= run or not clock or not last or at < last - 1 then
  clock, last = ARGV[1], 0
  redis.call('HSET', KEYS[1], 'run', run, 'clock', clock, 'since', text(at))
  redis.call('DEL', KEYS[2])
  if redis.call('HEXISTS', KEYS[1], 'seq') == 0 then
    local latest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
    redis.call('HSET', KEYS[1], 'seq', latest and string.match(latest[1], '^%d+') or '0')
  end
end
if at - last >= ${MARK_MILLIS} then
  redis.call('HSET', KEYS[1], 'last', text(at))
  if redis.call('PTTL', KEYS[1]) < ${LIFETIME_MILLIS} then redis.call('PEXPIRE', KEYS[1], ${LIFETIME_MILLIS}) end
end
`;

/** Returns the clock and its time. */
export const TIME = scriptOf(`${CLOCK}
return { clock, text(at) }
`);

/**
 * A listener says that it is there and what it has heard, and takes what it has not. ARGV: …, who,
 * the clock that it knows, the number of its last message, how often it has come. It is entered
 * without an acknowledgement where it is not known, so that those who tell wait for it.
 *
 * Returns the clock, its time, the last number, since when all that was told is kept, and messages:
 * number, time, clock, text.
 */
export const SYNC = scriptOf(`${CLOCK}
local state = redis.call('HMGET', KEYS[1], 'seq', 'since', 'lost', 'told', 'kept')
local seq, heard = tonumber(state[1]), tonumber(ARGV[4])
if clock ~= ARGV[3] then heard = -1 end
local entry = redis.call('HGET', KEYS[2], ARGV[2])
local before = entry and tonumber(string.match(entry, ' (-?%d+)$')) or -1
redis.call('HSET', KEYS[2], ARGV[2], ARGV[5] .. ' ' .. string.format('%d', math.max(before, entry and heard or -1)))
redis.call('PEXPIRE', KEYS[2], ${LIFETIME_MILLIS})
local complete = math.max(tonumber(state[2]), tonumber(state[3] or '0'))
local answer = { clock, text(at), string.format('%d', seq), '' }
if heard < seq then
  local from = heard < 0 and '-' or '(' .. string.format('%d', heard) .. '-0'
  for _, one in ipairs(redis.call('XRANGE', KEYS[3], from, '+', 'COUNT', ${PAGE_COUNT})) do
    answer[#answer + 1] = string.match(one[1], '^%d+')
    for i = 2, 6, 2 do answer[#answer + 1] = one[2][i] end
  end
  local isKept = tonumber(state[5] or '0') > at
  if isKept and redis.call('EXISTS', KEYS[3]) == 0 then complete = math.max(complete, tonumber(state[4])) end
end
answer[4] = text(complete)
return answer
`);

/**
 * Numbers a message, keeps it, and wakes those who listen. ARGV: …, text, lifetime, channel.
 * KEYS[4]: the channel, as a client that puts something before all keys subscribes to it. What is
 * over goes; where there is too much, so does the oldest, and that is kept in mind.
 */
export const TELL = scriptOf(`${CLOCK}
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
local id = string.format('%d', seq) .. '-0'
local lifetime = tonumber(ARGV[3])
redis.call('XADD', KEYS[3], id, 't', text(at), 'c', clock, 'm', ARGV[2], 'e', text(at + lifetime))
for _ = 1, 100 do
  local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
  if tonumber(oldest[2][8]) >= at then
    if redis.call('XLEN', KEYS[3]) <= ${MAX_KEPT_COUNT} then break end
    redis.call('HSET', KEYS[1], 'lost', text(at))
  end
  redis.call('XDEL', KEYS[3], oldest[1])
end
local kept = math.max(tonumber(redis.call('HGET', KEYS[1], 'kept') or '0'), at + lifetime)
redis.call('HSET', KEYS[1], 'told', text(at), 'kept', text(kept))
for i = 1, 3, 2 do
  local left = i == 1 and lifetime + ${LIFETIME_MILLIS} or lifetime
  if redis.call('PTTL', KEYS[i]) < left then redis.call('PEXPIRE', KEYS[i], string.format('%d', left)) end
end
redis.call('PUBLISH', KEYS[4], id)
if ARGV[4] ~= KEYS[4] then redis.call('PUBLISH', ARGV[4], id) end
return { clock, text(at), string.format('%d', seq) }
`);

/** Returns the clock, its time, when it began, and who is present: name, entry. */
export const LOOK = scriptOf(`${CLOCK}
local answer = { clock, text(at), redis.call('HGET', KEYS[1], 'since') }
for _, part in ipairs(redis.call('HGETALL', KEYS[2])) do answer[#answer + 1] = part end
return answer
`);

/** Strikes somebody off who has not come since. KEYS: present. ARGV: who, entry. */
export const STRIKE = scriptOf(`#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
`);

/** KEYS: present. ARGV: who. */
export const LEAVE = scriptOf(`#!lua flags=allow-oom
redis.call('HDEL', KEYS[1], ARGV[1])
`);
