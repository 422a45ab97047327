-- Pause a lane: nothing of it is claimed until the pause ends. A batch whose records all met the same refusal is one pause.
-- ARGV: now, lane, until, reason, pauses so far as its claim saw them
-- Returns the number of pauses in a row.
local now, key, until_, seen = clock(ARGV[1]), space .. ':pause:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
-- Nobody probes a lane that has no work left, so nobody ends its pause: a day after it is over, it is forgotten.
local FORGOTTEN = 86400
local function pause_until(moment)
  redis.call('HSET', key, 'until', seconds(moment))
  redis.call('EXPIRE', key, math.ceil(math.max(moment - now, 0)) + FORGOTTEN)
end
local pause = redis.call('HMGET', key, 'until', 'count')
local count = tonumber(pause[2] or 0)
if not pause[1] or count == seen then
  count = count + 1
  redis.call('HSET', key, 'count', count, 'reason', ARGV[4], 'since', seconds(now))
  pause_until(until_)
elseif until_ > tonumber(pause[1] or 0) then
  pause_until(until_)
end
return count
