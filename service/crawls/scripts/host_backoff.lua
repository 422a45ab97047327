-- Functions for hosts that want fewer requests. `host_backoff:<host>` is a hash: `until`, and `times` in a row without
-- a time of the host's own.

local LONGEST_BACKOFF = 3600

-- No batch asks the host until `ends`, or, where the host has not said when (0), for twice as long as the time before.
local function back_off(host, ends, now)
  local backoff = key('host_backoff', host)
  local found = redis.call('HMGET', backoff, 'until', 'times')
  local before, times = tonumber(found[1] or 0), tonumber(found[2] or 0)
  if ends == 0 then
    -- The request was made before the host had said so.
    if before > now then return end
    ends, times = now + math.min(2 ^ times, LONGEST_BACKOFF), times + 1
  end
  ends = math.min(ends, now + LONGEST_BACKOFF)
  if ends <= math.max(before, now) then return end
  redis.call('HSET', backoff, 'until', seconds(ends), 'times', times)
  redis.call('EXPIRE', backoff, math.ceil(ends - now) + LONGEST_BACKOFF)
end

local function forget_backoff(host) redis.call('HDEL', key('host_backoff', host), 'times') end
