-- The end of a record: state -> terminal, envelope -> results queue, due index -> gone, all in one.
-- ARGV: now, id, fence, state, keep (s), stream or '', envelope, note key or '', note, note's life (s), lane that goes on or '',
--       count of fields, (name, value)*, names of blobs to delete ...
-- Returns 'finished', or why not: 'missing', 'ended', 'stale'.
local now, id, fence, state, keep = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local from, lane = guarded(id, fence, state)
if not from then return lane end
-- First of all writes: where memory is out, this one is refused and nothing has happened.
if ARGV[6] ~= '' then
  redis.call('XADD', ARGV[6], '*', 'envelope', ARGV[7])
  redis.call('HINCRBY', space .. ':books', 'envelopes', 1)
end
local record = record_of(id)
if ARGV[8] ~= '' then
  -- Both halves of what Celery's Redis backend does: the value for who asks later, the message for who waits now.
  redis.call('SETEX', ARGV[8], ARGV[10], ARGV[9])
  redis.call('PUBLISH', ARGV[8], ARGV[9])
end
change_state(id, from, state)
redis.call('ZREM', due_of(lane), id)
local at = 13 + 2 * tonumber(ARGV[12])
for field = 13, at - 1, 2 do redis.call('HSET', record, ARGV[field], ARGV[field + 1]) end
redis.call('HDEL', record, 'lease')
redis.call('HSET', record, 'ended', seconds(now), 'lane', ARGV[11])
if ARGV[11] ~= '' then place(id, ARGV[11], now) end
for blob = at, #ARGV do redis.call('DEL', space .. ':' .. ARGV[blob] .. ':' .. id) end
-- Kept for a while, so that a message delivered once more still finds its job ended.
redis.call('EXPIRE', record, keep)
return 'finished'
