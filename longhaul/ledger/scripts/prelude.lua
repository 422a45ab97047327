-- Stands before every script. TRANSITIONS is the owner's table: `["from>to"] = true`, and `["from>"] = true` for a state that can be left.
local TRANSITIONS = --[[TRANSITIONS]]
local space = KEYS[1]

-- One clock for every worker: the server's, unless the caller (a test) brings its own time.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function seconds(time) return string.format('%.3f', time) end
local function record_of(id) return space .. ':record:' .. id end
local function due_of(lane) return space .. ':due:' .. lane end

local function place(id, lane, time)
  redis.call('ZADD', due_of(lane), seconds(time), id)
  redis.call('SADD', space .. ':lanes', lane)
end

-- The guard of every write: the record must be there, and nobody may have claimed it since the caller did.
-- Returns the state and the lane, or nil and the reason why the caller is too late.
local function guarded(id, fence, to)
  local found = redis.call('HMGET', record_of(id), 'state', 'fence', 'lane')
  if not found[1] then return nil, 'missing' end
  if found[1] ~= to and not TRANSITIONS[found[1] .. '>' .. to] then return nil, 'ended' end
  if found[1] == to and not TRANSITIONS[found[1] .. '>'] then return nil, 'ended' end
  if (found[2] or '0') ~= fence then return nil, 'stale' end
  return found[1], found[3]
end

local function change_state(id, from, to)
  if from == to then return end
  redis.call('HSET', record_of(id), 'state', to)
  redis.call('HINCRBY', space .. ':books', from, -1)
  redis.call('HINCRBY', space .. ':books', to, 1)
end
