-- Give a claimed record its next action, in the same or in another state, and end the lease.
-- ARGV: now, id, fence, state, lane, due ('' = leaves the index), lane of cancelled records or '',
--       count of fields, (name, value)*, (name, increment)*
-- Returns 'moved', or why not: 'missing', 'ended', 'stale'.
local now, id, fence, state, lane, due = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local from, lane_now = guarded(id, fence, state)
if not from then return lane_now end
local record = record_of(id)
-- Cancelled while it was claimed: the cancelling step is its next action, at once.
if ARGV[7] ~= '' and redis.call('HEXISTS', record, 'cancel') == 1 and lane ~= ARGV[7] then lane, due = ARGV[7], seconds(now) end
if lane_now ~= lane then redis.call('ZREM', due_of(lane_now), id) end
if due == '' then redis.call('ZREM', due_of(lane), id) else place(id, lane, tonumber(due)) end
change_state(id, from, state)
redis.call('HSET', record, 'lane', lane)
redis.call('HDEL', record, 'lease')
-- The fence grows here as well: whoever holds the old one has had his say.
redis.call('HINCRBY', record, 'fence', 1)
local at, sets = 9, 9 + 2 * tonumber(ARGV[8])
while ARGV[at] do
  if at < sets then redis.call('HSET', record, ARGV[at], ARGV[at + 1])
  else redis.call('HINCRBY', record, ARGV[at], ARGV[at + 1]) end
  at = at + 2
end
return 'moved'
