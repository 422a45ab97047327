-- A record has made its step raise: it is tried again after a pause, and after so many times it leaves its lane for one that nobody works off.
-- ARGV: now, id, fence, lane that it was claimed from, lane of what is set aside, lane of cancelled records or '', pause (s), tries, words,
--       field that the claim has counted up in vain or ''
-- Returns 'again', 'aside', or why neither: 'ended', 'stale'.
local now, id, fence, lane, aside, cancelled_lane = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local record = record_of(id)
local found = redis.call('HMGET', record, 'fence', 'ended', 'cancel', 'stumbles')
if found[2] then return 'ended' end
if (found[1] or '0') ~= fence then return 'stale' end
local stumbles = (tonumber(found[4] or 0) or 0) + 1
redis.call('HSET', record, 'stumbles', stumbles, 'stumble', ARGV[9])
redis.call('HDEL', record, 'lease')
redis.call('HINCRBY', record, 'fence', 1)
-- A counter that is no number may be the very reason.
if ARGV[10] ~= '' then redis.pcall('HINCRBY', record, ARGV[10], -1) end
local next_lane, due, became = lane, now + tonumber(ARGV[7]) * 2 ^ (stumbles - 1), 'again'
if found[3] and cancelled_lane ~= '' and lane ~= cancelled_lane then
  next_lane, due = cancelled_lane, now
elseif stumbles >= tonumber(ARGV[8]) then
  next_lane, due, became = aside, now, 'aside'
  redis.call('HSET', record, 'origin', lane)
end
redis.call('ZREM', due_of(lane), id)
redis.call('HSET', record, 'lane', next_lane)
place(id, next_lane, due)
return became
