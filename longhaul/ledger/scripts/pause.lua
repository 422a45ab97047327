-- Pause a lane: nothing of it is claimed until the pause ends. A batch whose records all met the same refusal is one
-- pause.
-- ARGS: now, lane
--       ends:number                when the pause ends
--       reason
--       seen:number                pauses in a row, as the caller's claim saw them
-- KEYS: pause
-- RETURNS: the pauses in a row
local pause_key = key('pause', lane)
-- A lane without work is not probed, so its pause is not ended: a day after it is over, it is forgotten.
local FORGOTTEN = 86400
local function pause_until(moment)
  redis.call('HSET', pause_key, 'until', seconds(moment))
  redis.call('EXPIRE', pause_key, math.ceil(math.max(moment - now, 0)) + FORGOTTEN)
end
local pause = redis.call('HMGET', pause_key, 'until', 'count')
local count = tonumber(pause[2] or 0)
if not pause[1] or count == seen then
  count = count + 1
  redis.call('HSET', pause_key, 'count', count, 'reason', reason, 'since', seconds(now))
  pause_until(ends)
elseif ends > tonumber(pause[1] or 0) then
  pause_until(ends)
end
return count
