-- The end of a record: state -> terminal, envelope -> results queue, due index -> gone, all in one.
-- ARGV: now, id, fence, state, keep (s), stream or '', envelope, note key or '', note, note's life (s), lane that goes on or '',
--       field that must still be as the envelope says or '', its value, count of fields, (name, value)*,
--       count of blobs that live as long as the record, their names, names of blobs to delete ...
-- Returns 'finished', or why not: 'missing', 'ended', 'stale'.
local now, id, fence, state, keep = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local from, lane = guarded(id, fence, state)
if not from then return lane end
if ARGV[12] ~= '' and (redis.call('HGET', record_of(id), ARGV[12]) or '0') ~= ARGV[13] then return 'stale' end
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
local at = 15 + 2 * tonumber(ARGV[14])
for field = 15, at - 1, 2 do redis.call('HSET', record, ARGV[field], ARGV[field + 1]) end
redis.call('HDEL', record, 'lease')
redis.call('HSET', record, 'ended', seconds(now), 'lane', ARGV[11])
if ARGV[11] ~= '' then place(id, ARGV[11], now) end
-- Kept for a while, so that a message delivered once more still finds its job ended.
redis.call('EXPIRE', record, keep)
local doomed = at + 1 + tonumber(ARGV[at])
for blob = at + 1, #ARGV do
  local key = space .. ':' .. ARGV[blob] .. ':' .. id
  if blob < doomed then redis.call('EXPIRE', key, keep) else redis.call('DEL', key) end
end
return 'finished'
