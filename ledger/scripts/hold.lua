-- Pause a lane: nothing of it is claimed until the pause ends. A batch whose records all met the same refusal is one pause.
-- ARGV: now, lane, until, reason, pauses so far as its claim saw them
-- Returns the number of pauses in a row.
local key, until_, seen = space .. ':pause:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
local pause = redis.call('HMGET', key, 'until', 'count')
local count = tonumber(pause[2] or 0)
if not pause[1] or count == seen then
  count = count + 1
  redis.call('PERSIST', key)
  redis.call('HSET', key, 'until', seconds(until_), 'count', count, 'reason', ARGV[4], 'since', seconds(clock(ARGV[1])))
elseif until_ > tonumber(pause[1] or 0) then
  redis.call('HSET', key, 'until', seconds(until_))
end
return count
