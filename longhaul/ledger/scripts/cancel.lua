-- Mark a record as cancelled; the cancelling step is its next action, at once or when the present claimant is done.
-- ARGS: now, id
--       lane                       where cancelled records go
--       state?                     what the record is taken to be in, where the table does not know its state
-- KEYS: record, due, lanes
-- RETURNS: 'missing', the terminal state, or 'marked'
local record = key('record', id)
local found = redis.call('HMGET', record, 'state', 'lane', 'cancel', 'lease')
if not found[1] then return 'missing' end
if not TRANSITIONS[found[1] .. '>'] then
  if not state or redis.call('HEXISTS', record, 'ended') == 1 then return found[1] end
  redis.call('HSET', record, 'state', state)
end
if found[3] then return 'marked' end
redis.call('HSET', record, 'cancel', '1')
if (tonumber(found[4] or 0) or 0) <= now then
  redis.call('ZREM', key('due', found[2]), id)
  redis.call('HSET', record, 'lane', lane)
  -- It may have been in quarantine.
  redis.call('HDEL', record, 'origin', 'crashes', 'crash')
  place(id, lane, now)
end
return 'marked'
