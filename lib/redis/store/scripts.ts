/**
 * What Redis does in one step for cached entries, in Lua.
 *
 * Invariant: an entry is behind a purge if a place of one of its labels was purged later than its run began, by the clock of purges, or if
 * that clock is another one by now. Neither script hands on, nor fills in, one that was purged hard; an older run never replaces a later
 * one. The bytes of an entry stay out of Lua, but for small ones that are set.
 */
import { createHash } from 'node:crypto'
import type { Script } from '../scripts.js'

/** The head of an entry (`bytes.ts`); nil if it has none. `range` reads from one byte to another, counted from 0. */
const HEAD_OF = `local function headOf(range)
  local fixed = range(0, 31)
  if #fixed < 32 then return nil end
  local version, id, e, begun, length, count = struct.unpack('>Bc12ddBH', fixed)
  if version ~= 1 or count > 2000 then return nil end
  local rest = range(32, 31 + length + 2 * count)
  if #rest < length + 2 * count then return nil end
  local fields = {}
  for i = 1, count do
    local place = string.format('%d', struct.unpack('>H', rest, length + 2 * i - 1))
    fields[2 * i - 1] = place
    fields[2 * i] = 's' .. place
  end
  return {id = id, e = e, begun = begun, generation = string.sub(rest, 1, length), fields = fields}
end
local function stored(key)
  return headOf(function(from, to) return redis.call('GETRANGE', key, from, to) end)
end
`
/** 0: nothing of it was purged since. 1: purged softly. 2: purged. */
const STANDING_OF = `local function standingOf(head, clock, generation)
  if head.generation ~= generation then return 2 end
  if #head.fields == 0 then return 0 end
  local standing = 0
  local purged = redis.call('HMGET', clock, unpack(head.fields))
  for i = 1, #head.fields, 2 do
    if tonumber(purged[i] or 0) > head.e then return 2 end
    if tonumber(purged[i + 1] or 0) > head.e then standing = 1 end
  end
  return standing
end
`

/** What the clock says, and of an entry: which write it is of, its remaining time, where it stands, and its length. */
const LOOK_UP = `${HEAD_OF}${STANDING_OF}
local clock = redis.call('HMGET', KEYS[2], 'g', 'e')
local generation, e = clock[1], tonumber(clock[2] or 0)
if not generation then
  generation = ARGV[1]
  redis.call('HSET', KEYS[2], 'g', generation)
end
local head = stored(KEYS[1])
if not head then return {generation, e} end
return {generation, e, head.id, redis.call('PTTL', KEYS[1]), standingOf(head, KEYS[2], generation), redis.call('STRLEN', KEYS[1])}`

/** Keeps an entry that is given, or that is in \`KEYS[3]\`. 1: done. 0: it was purged since its run began. 2: that of a later run is there. */
const FILL = `${HEAD_OF}${STANDING_OF}
local bytes, keep = ARGV[1], tonumber(ARGV[2])
local head
if KEYS[3] then head = stored(KEYS[3])
else head = headOf(function(from, to) return string.sub(bytes, from + 1, to + 1) end) end
if not head then return redis.error_reply('ERR the entry is not there') end
local function refuse(why)
  if KEYS[3] then redis.call('UNLINK', KEYS[3]) end
  return why
end
local clock = redis.call('HMGET', KEYS[2], 'g', 'e')
if head.e > tonumber(clock[2] or 0) or standingOf(head, KEYS[2], clock[1]) > 0 then return refuse(0) end
local other = stored(KEYS[1])
if other and standingOf(other, KEYS[2], clock[1]) == 0 then
  -- How long ago the runs began. Redis counts whole milliseconds.
  if head.begun - keep > other.begun - redis.call('PTTL', KEYS[1]) + 1 then return refuse(2) end
end
if KEYS[3] then
  redis.call('RENAME', KEYS[3], KEYS[1])
  redis.call('PEXPIRE', KEYS[1], keep)
else redis.call('SET', KEYS[1], bytes, 'PX', keep) end
return 1`

/** Tries what the others need besides what all do, and leaves nothing. */
const PROBE = `
redis.call('SET', KEYS[1], '1', 'PX', 1000)
redis.call('GETRANGE', KEYS[1], 0, 0)
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('UNLINK', KEYS[2])
return struct.unpack('>B', 'x')`

function script (source: string): Script {
  return Object.freeze({ source, sha: createHash('sha1').update(source).digest('hex'), isWhole: false })
}

export const lookUp = script(LOOK_UP)
export const fill = script(FILL)
export const probe = script(PROBE)
