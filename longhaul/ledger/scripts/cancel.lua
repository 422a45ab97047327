-- Mark a record as cancelled; the cancelling step is its next action, at once or when the present claimant is done.
-- ARGV: now, id, lane of cancelled records, state to take for one that the table does not know, or ''
-- Returns 'missing', the terminal state, or 'marked'.
local now, id, lane = clock(ARGV[1]), ARGV[2], ARGV[3]
local record = record_of(id)
local found = redis.call('HMGET', record, 'state', 'lane', 'cancel', 'lease')
if not found[1] then return 'missing' end
if not TRANSITIONS[found[1] .. '>'] then
  if ARGV[4] == '' or redis.call('HEXISTS', record, 'ended') == 1 then return found[1] end
  redis.call('HSET', record, 'state', ARGV[4])
end
if found[3] then return 'marked' end
redis.call('HSET', record, 'cancel', '1')
if (tonumber(found[4] or 0) or 0) <= now then
  redis.call('ZREM', due_of(found[2]), id)
  redis.call('HSET', record, 'lane', lane)
  -- It may have been set aside.
  redis.call('HDEL', record, 'origin', 'stumbles', 'stumble')
  place(id, lane, now)
end
return 'marked'
