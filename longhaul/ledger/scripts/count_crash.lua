-- Count a crash of a record's step: the record is tried again after a pause, and after so many crashes it goes into
-- quarantine, a lane that no worker claims.
-- ARGS: now, id, fence
--       lane, quarantine_lane      where it was claimed from, and where the quarantine is
--       cancelled_lane?            where a cancelled record goes instead
--       pause:number               seconds before the second try; twice as many before the third
--       tries:number
--       words                      what the crash was
--       counted?                   the field that the claim has counted up in vain
-- KEYS: record, due, lanes
-- RETURNS: 'retry', 'quarantined', or why neither: 'ended', 'stale'
local record = key('record', id)
local found = redis.call('HMGET', record, 'fence', 'ended', 'cancel', 'crashes')
if found[2] then return 'ended' end
if (found[1] or '0') ~= fence then return 'stale' end
local crashes = (tonumber(found[4] or 0) or 0) + 1
redis.call('HSET', record, 'crashes', crashes, 'crash', words)
redis.call('HDEL', record, 'lease')
redis.call('HINCRBY', record, 'fence', 1)
-- A counter that is no number may be the very reason.
if counted then redis.pcall('HINCRBY', record, counted, -1) end
local next_lane, due, became = lane, now + pause * 2 ^ (crashes - 1), 'retry'
if found[3] and cancelled_lane and lane ~= cancelled_lane then
  next_lane, due = cancelled_lane, now
elseif crashes >= tries then
  next_lane, due, became = quarantine_lane, now, 'quarantined'
  redis.call('HSET', record, 'origin', lane)
end
redis.call('ZREM', key('due', lane), id)
redis.call('HSET', record, 'lane', next_lane)
place(id, next_lane, due)
return became
