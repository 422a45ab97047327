-- Stands before the crawls' own scripts, after the ledger's prelude.

-- Seconds after a run's end for which a remote that does not number its runs may tell something of it once more: three tries, and some.
local REPEATS = 120

-- Who sends an event is met: nil where it is the crawl's own remote, else 'missing' or 'foreign'. A crawl whose creation was never answered is
-- made known by the first event that comes of it.
local function met(id, remote, now, lane, stop_lane, first_look)
  local record = record_of(id)
  local found = redis.call('HMGET', record, 'state', 'remote', 'lane', 'cancel')
  if not found[1] then return 'missing' end
  if found[2] and found[2] ~= '' then return found[2] ~= remote and 'foreign' or nil end
  if not TRANSITIONS[found[1] .. '>'] then return 'foreign' end
  redis.call('HSET', record, 'remote', remote, 'sent', seconds(now))
  change_state(id, found[1], 'running')
  -- Whoever is creating it at this moment is fenced off; what he creates will be foreign.
  redis.call('HINCRBY', record, 'fence', 1)
  redis.call('HDEL', record, 'lease')
  local next_lane, due = lane, now + first_look
  if found[4] then next_lane, due = stop_lane, now end
  redis.call('ZREM', due_of(found[3]), id)
  redis.call('HSET', record, 'lane', next_lane)
  place(id, next_lane, due)
  return nil
end
