-- Give a claimed record its next action, in the same or in another state, and end the lease.
-- USES: states
-- ARGS: now, id, fence, state, lane
--       due:number?                when its next action is due; none: it leaves the index
--       cancelled_lane?            where it goes instead if it has been cancelled while it was claimed
--       fields{}, add{}            fields to set, and counters with what to add to them
-- KEYS: record, due, lanes, books
-- RETURNS: 'moved', or why not: 'missing', 'ended', 'stale'
local from, lane_now = guarded(id, fence, state)
if not from then return lane_now end
local record = key('record', id)
if cancelled_lane and lane ~= cancelled_lane and redis.call('HEXISTS', record, 'cancel') == 1 then
  lane, due = cancelled_lane, now
end
if lane_now ~= lane then redis.call('ZREM', key('due', lane_now), id) end
if due then place(id, lane, due) else redis.call('ZREM', key('due', lane), id) end
change_state(id, from, state)
redis.call('HSET', record, 'lane', lane, unpack(fields))
redis.call('HDEL', record, 'lease')
-- The fence grows here as well: another write with the old one is rejected.
redis.call('HINCRBY', record, 'fence', 1)
for at = 1, #add, 2 do redis.call('HINCRBY', record, add[at], add[at + 1]) end
return 'moved'
