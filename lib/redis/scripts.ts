/**
 * What Redis does in one step, in Lua.
 *
 * Invariant: each script can be run twice without harm, since a reply can be lost; all of its keys have one hash tag. Nothing but the
 * leader's own token ends its lease, and nothing brings a lease back. A pointer holds `token|generation|e|places`: who leads, what the
 * clock of purges said when it began, and where its labels are on that clock.
 */
import { createHash } from 'node:crypto'
import type { Argument, Command } from './clients/connection.js'

export interface Script {
  readonly source: string
  readonly sha: string
  /** It is sent whole each time. Others are sent again, and so later than what follows them, if the server does not have them. */
  readonly isWhole: boolean
}

/** A script with its keys and arguments. */
export interface Call {
  readonly script: Script
  readonly keys: readonly string[]
  readonly args: readonly Argument[]
}

export function isCall (step: Call | Command): step is Call {
  return 'script' in step
}

/** By its hash, or whole. */
export function commandOf ({ script, keys, args }: Call, whole = script.isWhole): Command {
  return whole ? ['EVAL', script.source, keys.length, ...keys, ...args] : ['EVALSHA', script.sha, keys.length, ...keys, ...args]
}

const TOKEN_OF = "local function tokenOf(p) return p and string.match(p, '^[^|]*') end\n"
const MEMBERS_OF = `local function membersOf(key, token)
  local found, start = {}, token .. ' '
  for _, member in ipairs(redis.call('SMEMBERS', key)) do
    if string.sub(member, 1, #start) == start then found[#found + 1] = member end
  end
  return found, #start
end
`
/** Has the registration of this process, for whatever token, removed. */
const FORGET = `local function forget(key, instance)
  if instance == '' then return end
  for _, member in ipairs(redis.call('SMEMBERS', key)) do
    if string.sub(member, -#instance - 1) == ' ' .. instance then redis.call('SREM', key, member) end
  end
end
`

const JOIN = `
local note = redis.call('GET', KEYS[4])
if note then return {'N', note} end
local token, instance, lease, keep, inboxes, as, places = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[8]
local pointer = redis.call('GET', KEYS[1])
local clock = redis.call('HMGET', KEYS[3], 'g', 'e')
local generation, e = clock[1], tonumber(clock[2] or 0)
if pointer then
  local leader, itsGeneration, itsE, itsPlaces = string.match(pointer, '^([^|]*)|([^|]*)|([^|]*)|(.*)$')
  if leader == token then
    redis.call('PEXPIRE', KEYS[1], lease)
    return {'L'}
  end
  local current = itsGeneration == generation
  if current and e > tonumber(itsE) then
    local fields = {}
    for place in string.gmatch(itsPlaces .. ' ' .. places, '%d+') do
      fields[#fields + 1] = place
      fields[#fields + 1] = 's' .. place
    end
    if #fields > 0 then
      for _, purged in ipairs(redis.call('HMGET', KEYS[3], unpack(fields))) do
        if tonumber(purged or 0) > tonumber(itsE) then current = false end
      end
    end
  end
  if current then
    if as == 'leader' then return {'O'} end
    if redis.call('SADD', KEYS[2], leader .. ' ' .. instance) == 1 then
      redis.call('PUBLISH', inboxes .. string.match(leader, '^[^:]*'), 'W' .. leader)
    end
    redis.call('PEXPIRE', KEYS[2], keep)
    return {'F', leader, redis.call('PTTL', KEYS[1])}
  end
end
if as == 'follower' then return {'O'} end
if not generation then
  generation = ARGV[7]
  redis.call('HSET', KEYS[3], 'g', generation)
end
redis.call('SET', KEYS[1], token .. '|' .. generation .. '|' .. e .. '|' .. places, 'PX', lease)
return {'L'}`

/** Of several leaders at once. */
const RENEW = `${TOKEN_OF}
local held = {}
for i = 1, #KEYS do
  held[i] = tokenOf(redis.call('GET', KEYS[i])) == ARGV[i + 1] and redis.call('PEXPIRE', KEYS[i], ARGV[1]) or 0
end
return held`

/** Ends a lease that nobody waits for. Otherwise it says so, and does nothing. */
const RELEASE = `${TOKEN_OF}${MEMBERS_OF}${FORGET}
local token = ARGV[1]
forget(KEYS[2], ARGV[2])
if #membersOf(KEYS[2], token) > 0 then return 1 end
if tokenOf(redis.call('GET', KEYS[1])) == token then
  redis.call('DEL', KEYS[1])
  if ARGV[3] ~= '' then redis.pcall('SET', KEYS[3], ARGV[3], 'PX', ARGV[4]) end
end
return 0`

/**
 * Ends a lease, and tells all who wait for it, also if another one leads by now. Who missed that, or has to fetch the result, stays
 * registered. The result is kept until nobody is, but not for long. With `E` the result is the log, and what is given is its end.
 */
const DONE = `${TOKEN_OF}${MEMBERS_OF}${FORGET}
local token, inboxes, mode, body, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if mode == 'E' then
  local before, have = tonumber(ARGV[9]), redis.call('LLEN', KEYS[5])
  if have == before and before > 0 then have = redis.pcall('RPUSH', KEYS[5], body) end
  if have == before + 1 then
    redis.call('PEXPIRE', KEYS[5], keep)
    body = have
  else
    redis.call('DEL', KEYS[5])
    mode, body = 'X', ''
  end
end
forget(KEYS[2], ARGV[6])
if tokenOf(redis.call('GET', KEYS[1])) == token then
  redis.call('DEL', KEYS[1])
  if ARGV[7] ~= '' then redis.pcall('SET', KEYS[3], ARGV[7], 'PX', ARGV[8]) end
end
local members, start = membersOf(KEYS[2], token)
local missed = false
for _, member in ipairs(members) do
  local heard = redis.call('PUBLISH', inboxes .. string.sub(member, start + 1), mode .. token .. '\\n' .. body) > 0
  if heard and mode ~= 'R' and mode ~= 'E' then redis.call('SREM', KEYS[2], member) end
  missed = missed or not heard
end
if missed and mode == 'I' then redis.pcall('SET', KEYS[4], body, 'PX', keep) end
if mode == 'E' and #members == 0 then redis.call('DEL', KEYS[5]) end
return #members`

/**
 * Adds to the log of a run that is read while it makes its result, and tells those who wait how long the log is. Nobody waits, or the log is
 * not to be kept: it is removed. It is not added to if some of it is missing.
 */
const LOG = `${MEMBERS_OF}
local token, inboxes, before, keep = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local members, start = membersOf(KEYS[2], token)
local more = #ARGV - 4
if #members == 0 or keep == '0' then
  redis.call('DEL', KEYS[1])
elseif more > 0 then
  if before == 0 then redis.call('DEL', KEYS[1]) end
  local have = redis.call('LLEN', KEYS[1])
  if have == before then
    for i = 5, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
  elseif have ~= before + more then
    return -1
  end
end
redis.call('PEXPIRE', KEYS[1], keep)
local message = 'L' .. token .. '\\n' .. redis.call('LLEN', KEYS[1])
for _, member in ipairs(members) do redis.call('PUBLISH', inboxes .. string.sub(member, start + 1), message) end
return #members`

/**
 * What became of a leader that somebody waits for: it is still there, there is a result that was missed, or a log, it is done, or it is gone. A
 * large result is to be fetched.
 */
const CHECK = `${TOKEN_OF}${MEMBERS_OF}
local token, instance, keep, inboxes = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local member = token .. ' ' .. instance
if tokenOf(redis.call('GET', KEYS[1])) == token then
  if redis.call('SADD', KEYS[2], member) == 1 then
    redis.call('PUBLISH', inboxes .. string.match(token, '^[^:]*'), 'W' .. token)
  end
  redis.call('PEXPIRE', KEYS[2], keep)
  return {'F', redis.call('PTTL', KEYS[1]), redis.call('LLEN', KEYS[4])}
end
local size = redis.call('STRLEN', KEYS[3])
if size > tonumber(ARGV[5]) then return {'C', size} end
local result = redis.call('GET', KEYS[3])
local entries = redis.call('LLEN', KEYS[4])
if not result and entries > 0 then
  redis.call('SADD', KEYS[2], member)
  redis.call('PEXPIRE', KEYS[2], keep)
  return {'F', redis.call('PTTL', KEYS[4]), entries}
end
local registered = redis.call('SREM', KEYS[2], member)
if result then
  if #membersOf(KEYS[2], token) == 0 then redis.call('DEL', KEYS[3]) end
  return {'R', result}
end
return {registered == 1 and 'G' or 'D'}`

/** Somebody has the result, which the last one removes. */
const FETCHED = `${MEMBERS_OF}
redis.call('SREM', KEYS[1], ARGV[1] .. ' ' .. ARGV[2])
if #membersOf(KEYS[1], ARGV[1]) > 0 then return 0 end
return redis.call('DEL', KEYS[2])`

/** Ends the lease of a process that is gone. 0: its run has ended, or another process has found that before. */
const STEAL = `${TOKEN_OF}
if tokenOf(redis.call('GET', KEYS[1])) ~= ARGV[1] then return 0 end
redis.call('SREM', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
redis.call('DEL', KEYS[3])
return redis.call('DEL', KEYS[1])`

/** Each field of the clock that is named gets the new time. */
const PURGE = `
if redis.call('HEXISTS', KEYS[1], 'g') == 0 then redis.call('HSET', KEYS[1], 'g', ARGV[1]) end
local e = redis.call('HINCRBY', KEYS[1], 'e', 1)
for i = 4, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], e) end
if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return e`

/** All that was purged is forgotten, and with it all that was begun or cached before. */
const RESET = `
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'e', 0)
if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1`

/** Tries all kinds of commands that the others need, and leaves nothing. */
const PROBE = `
redis.call('SET', KEYS[1], '1', 'PX', 1000)
redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('GET', KEYS[1])
redis.call('STRLEN', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('SADD', KEYS[1], '1')
redis.call('SMEMBERS', KEYS[1])
redis.call('SREM', KEYS[1], '1')
redis.call('HSET', KEYS[1], 'e', 1)
redis.call('HINCRBY', KEYS[1], 'e', 1)
redis.call('HEXISTS', KEYS[1], 'g')
redis.call('HMGET', KEYS[1], 'g', 'e')
redis.call('DEL', KEYS[1])
redis.call('RPUSH', KEYS[1], '1')
redis.call('LLEN', KEYS[1])
redis.call('LRANGE', KEYS[1], 0, 0)
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[1], '')
return 1`

export interface Scripts {
  readonly join: Script
  readonly renew: Script
  readonly release: Script
  readonly done: Script
  readonly log: Script
  readonly check: Script
  readonly fetched: Script
  readonly steal: Script
  readonly purge: Script
  readonly reset: Script
  readonly probe: Script
}

/** @param sharded whether channels belong to slots */
export function scripts (sharded: boolean): Scripts {
  const script = (text: string, isWhole = false): Script => {
    const source = sharded ? text.replaceAll("'PUBLISH'", "'SPUBLISH'") : text
    return { source, sha: createHash('sha1').update(source).digest('hex'), isWhole }
  }
  return {
    join: script(JOIN),
    renew: script(RENEW),
    release: script(RELEASE),
    done: script(DONE),
    log: script(LOG),
    check: script(CHECK),
    fetched: script(FETCHED),
    steal: script(STEAL, true),
    purge: script(PURGE, true),
    reset: script(RESET, true),
    probe: script(PROBE)
  }
}
