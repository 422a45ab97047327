-- What an account may still ask of the remote: a bucket of one second's requests, filled by the ledger's clock.
-- Each lane of the account has a share that is its own while others have due work, too, so that none starves; what a lane without due work
-- leaves, the others take.
-- Returns how many requests `lane` may make now, and what writes down how many it does.
local function allowance(name, rate, now, lane, rivals)
  local key, lanes = space .. ':rate:' .. name, {lane, unpack(rivals)}
  local most, part = math.max(1, rate), math.max(1, rate / #lanes)
  local found = redis.call('HMGET', key, 'at', 'all', unpack(lanes))
  local since = tonumber(found[1]) or now
  -- A clock that steps back fills nothing, and goes on from there.
  if now < since then
    redis.call('HSET', key, 'at', seconds(now))
    since = now
  end
  local passed = now - since
  local all, left = math.min(most, (tonumber(found[2]) or most) + passed * rate), {}
  for at, one in ipairs(lanes) do left[one] = math.min(part, (tonumber(found[2 + at]) or part) + passed * rate / #lanes) end
  local free, idle = left[lane], {}
  for _, rival in ipairs(rivals) do
    local resumes = tonumber(redis.call('HGET', space .. ':pause:' .. rival, 'until') or 0) or 0
    if now < resumes or #redis.call('ZRANGEBYSCORE', due_of(rival), '-inf', seconds(now), 'LIMIT', 0, 1) == 0 then
      free = free + math.max(0, left[rival])
      idle[#idle + 1] = rival
    end
  end
  -- The whole is rounded down and the share up, so that no fraction of the rate is lost to the shares.
  local allowed = math.max(0, math.min(math.floor(all + 1e-6), math.ceil(free - 1e-6)))
  return allowed, function(taken)
    local owed = taken
    for _, rival in ipairs(idle) do
      local lent = math.max(0, math.min(owed - math.max(0, left[lane]), left[rival]))
      left[rival], owed = left[rival] - lent, owed - lent
    end
    left[lane] = left[lane] - owed
    local fields = {'at', seconds(now), 'all', string.format('%.6f', all - taken)}
    for _, one in ipairs(lanes) do
      fields[#fields + 1] = one
      fields[#fields + 1] = string.format('%.6f', left[one])
    end
    redis.call('HSET', key, unpack(fields))
    -- By then it is full again, and a full one need not be kept.
    redis.call('EXPIRE', key, 60 + math.ceil(most / rate))
  end
end

local function count_lane(key, lane)
  local count = 0
  for _, token in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if token:match('^(.*)#') == lane then count = count + 1 end
  end
  return count
end
