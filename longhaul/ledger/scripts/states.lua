-- Functions that change the state of a record. TRANSITIONS, written by the loader, is the owner's table: `["from>to"] =
-- true`, and `["from>"] = true` for a state that can be left.

-- The guard of every write: the record must exist, and no other worker may have claimed it since the caller did.
-- Returns the state and the lane, or nil and why the write is rejected.
local function guarded(id, fence, to)
  local found = redis.call('HMGET', key('record', id), 'state', 'fence', 'lane')
  if not found[1] then return nil, 'missing' end
  if found[1] ~= to and not TRANSITIONS[found[1] .. '>' .. to] then return nil, 'ended' end
  if found[1] == to and not TRANSITIONS[found[1] .. '>'] then return nil, 'ended' end
  if (found[2] or '0') ~= fence then return nil, 'stale' end
  return found[1], found[3]
end

local function change_state(id, from, to)
  if from == to then return end
  redis.call('HSET', key('record', id), 'state', to)
  redis.call('HINCRBY', key('books'), from, -1)
  redis.call('HINCRBY', key('books'), to, 1)
end
