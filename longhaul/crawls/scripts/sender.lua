-- Functions of the scripts that record what the remote says of a crawl.
-- USES: states

-- Seconds after a run's end for which a remote that does not number its runs may send something of it once more: three
-- tries, and some.
local REPEATS = 120

-- Check who sends an event: nil for the crawl's own remote, else 'missing' or 'foreign'. A crawl whose creation was
-- never answered becomes known by the first event of it.
local function check_sender(id, remote_id, now, poll_lane, cancelled_lane, first_poll)
  local record = key('record', id)
  local found = redis.call('HMGET', record, 'state', 'remote', 'lane', 'cancel')
  if not found[1] then return 'missing' end
  if found[2] and found[2] ~= '' then return found[2] ~= remote_id and 'foreign' or nil end
  if not TRANSITIONS[found[1] .. '>'] then return 'foreign' end
  redis.call('HSET', record, 'remote', remote_id, 'sent', seconds(now))
  change_state(id, found[1], 'running')
  -- A worker that is creating it at this moment is fenced off; what it creates will be foreign.
  redis.call('HINCRBY', record, 'fence', 1)
  redis.call('HDEL', record, 'lease')
  local next_lane, due = poll_lane, now + first_poll
  if found[4] then next_lane, due = cancelled_lane, now end
  redis.call('ZREM', key('due', found[3]), id)
  redis.call('HSET', record, 'lane', next_lane)
  place(id, next_lane, due)
  return nil
end
