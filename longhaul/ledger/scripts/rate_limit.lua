-- The rate limit of an account: a bucket of one second's requests, filled by the ledger's clock. Each lane of the
-- account has a share that is its own while others have due work, too, so that none starves; what a lane without due
-- work leaves, the others take.

-- Returns how many requests `lane` may make now, and a function that writes down how many it does make.
local function rate_limit(account, rate, now, lane, rivals)
  local bucket, lanes = key('rate', account), {lane, unpack(rivals)}
  local most, part = math.max(1, rate), math.max(1, rate / #lanes)
  local found = redis.call('HMGET', bucket, 'at', 'all', unpack(lanes))
  local since = tonumber(found[1]) or now
  -- A clock that steps back fills nothing, and goes on from there.
  if now < since then
    redis.call('HSET', bucket, 'at', seconds(now))
    since = now
  end
  local passed = now - since
  local all, left = math.min(most, (tonumber(found[2]) or most) + passed * rate), {}
  for at, one in ipairs(lanes) do
    left[one] = math.min(part, (tonumber(found[2 + at]) or part) + passed * rate / #lanes)
  end
  local free, idle = left[lane], {}
  for _, rival in ipairs(rivals) do
    local resumes = tonumber(redis.call('HGET', key('pause', rival), 'until') or 0) or 0
    local due = redis.call('ZRANGEBYSCORE', key('due', rival), '-inf', seconds(now), 'LIMIT', 0, 1)
    if now < resumes or #due == 0 then
      free = free + math.max(0, left[rival])
      idle[#idle + 1] = rival
    end
  end
  -- The whole is rounded down and the share up, so that no fraction of the rate is lost to the shares.
  local allowed = math.max(0, math.min(math.floor(all + 1e-6), math.ceil(free - 1e-6)))
  return allowed, function(spent)
    local owed = spent
    for _, rival in ipairs(idle) do
      local lent = math.max(0, math.min(owed - math.max(0, left[lane]), left[rival]))
      left[rival], owed = left[rival] - lent, owed - lent
    end
    left[lane] = left[lane] - owed
    local fields = {'at', seconds(now), 'all', string.format('%.6f', all - spent)}
    for _, one in ipairs(lanes) do
      fields[#fields + 1] = one
      fields[#fields + 1] = string.format('%.6f', left[one])
    end
    redis.call('HSET', bucket, unpack(fields))
    -- By then it is full again, and a full bucket need not be kept.
    redis.call('EXPIRE', bucket, 60 + math.ceil(most / rate))
  end
end
