-- Take pages of the crawls that are due, under a lease that ends by itself. A page that is taken is a credit that is reserved.
-- ARGV: now, limit, lease (s), pages of one host at once in all rounds, and in this one, token of the round or ''
-- Returns {now, 1 if there is more to take, {id, run, url, end of lease, depth, tries or ''}, ...}; tries: attempts, first (s), lost leases.
local now, limit, lease = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local per_host, share, token = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local ends = seconds(now + lease)
if token ~= '' then
  -- First of all writes: where memory is out, this one is refused and nothing is claimed whose end would be refused.
  redis.call('ZADD', space .. ':working:crawl', ends, token)
  redis.call('ZREM', space .. ':started:crawl', token)
end
local LOOKED_AT, SKIPPED, DROPPED = 64, 8, 1000

local hosts = {}
local function host_at(url)
  local name = host_of(url)
  local host = hosts[name]
  if host then return host end
  local key = of('busy', name)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', seconds(now))
  local busy = redis.call('ZRANGE', key, 0, -1)
  host = {key = key, free = per_host - #busy, mine = share, rest = tonumber(redis.call('GET', of('rest', name)) or 0)}
  for _, holder in ipairs(busy) do
    if string.sub(holder, 1, #token + 1) == token .. ' ' then host.mine = host.mine - 1 end
  end
  hosts[name] = host
  return host
end

local taken, any_more = {}, 0
local function take(id, run, depth, url, host)
  redis.call('ZADD', of('taken', id), ends, url)
  redis.call('ZADD', host.key, ends, token .. ' ' .. id .. ' ' .. url)
  redis.call('EXPIRE', host.key, math.ceil(lease) + 1)
  host.free, host.mine, limit = host.free - 1, host.mine - 1, limit - 1
  taken[#taken + 1] = {id, run, url, ends, depth, redis.call('HGET', of('tries', id), url) or ''}
end

-- What waits because its lease or its pause is over stands before all others.
local function gather(id)
  for _, url in ipairs(redis.call('ZRANGEBYSCORE', of('taken', id), '-inf', seconds(now), 'LIMIT', 0, limit)) do
    redis.call('LPUSH', of('wait', id), url)
    redis.call('ZREM', of('taken', id), url)
    local attempts, first, lost = string.match(redis.call('HGET', of('tries', id), url) or '', '^(%S+) (%S+) (%S+)$')
    redis.call('HSET', of('tries', id), url, table.concat({attempts or 0, first or seconds(now), (lost or 0) + 1}, ' '))
  end
  for _, url in ipairs(redis.call('ZRANGEBYSCORE', of('again', id), '-inf', seconds(now), 'LIMIT', 0, limit)) do
    redis.call('LPUSH', of('wait', id), url)
    redis.call('ZREM', of('again', id), url)
  end
end

-- Pages of one level. Returns whether another round could take more, and when there may be more for this one.
local function serve(id, run, depth, left)
  local wait, skipped, dropped, more, at = of('wait', id), {}, 0, false, nil
  local redirected = redis.call('EXISTS', of('landed', id)) == 1
  while limit > 0 and left > 0 and #skipped < SKIPPED and dropped < DROPPED do
    local url = redis.call('LPOP', wait)
    if not url then break end
    -- A page of an earlier level was redirected here: it has been read. One of the same level does not count, for which of the two came
    -- first must not decide what is crawled.
    local landed = redirected and redis.call('HGET', of('landed', id), short(url))
    if landed and tonumber(landed) < depth then
      dropped = dropped + 1
    else
      local host = host_at(url)
      if host.rest > now then
        skipped[#skipped + 1] = url
        at = math.min(at or host.rest, host.rest)
      elseif host.free <= 0 then
        skipped[#skipped + 1] = url
        -- Whoever holds them may be another crawl, whose writes do not wake this one.
        at = math.min(at or now + 1, now + 1)
      elseif host.mine <= 0 then
        skipped[#skipped + 1] = url
        more = true
      else
        take(id, run, depth, url, host)
        left = left - 1
      end
    end
  end
  if #skipped > 0 then redis.call('RPUSH', wait, unpack(skipped)) end
  return more or dropped == DROPPED or (left > 0 and limit == 0 and redis.call('EXISTS', wait) == 1), at
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', due_of('crawl'), '-inf', seconds(now), 'LIMIT', 0, LOOKED_AT)) do
  if limit <= 0 then
    any_more = 1
    break
  end
  local more, at, step = false, nil, nil
  repeat
    local found = redis.call('HMGET', record_of(id), 'state', 'run', 'depth', 'budget', 'cost')
    if found[1] ~= 'running' and found[1] ~= 'delayed' then
      redis.call('ZREM', due_of('crawl'), id)
      step = 'ended'
    else
      if found[1] == 'delayed' then
        change_state(id, 'delayed', 'running')
        redis.call('HSET', record_of(id), 'started', seconds(now))
      end
      gather(id)
      local left = found[4] and tonumber(found[4]) - tonumber(found[5]) - redis.call('ZCARD', of('taken', id)) or math.huge
      more, at = serve(id, found[2], tonumber(found[3]), left)
      step = advance(id, now)
    end
  until step ~= 'opened'
  if step ~= 'ended' then
    for _, name in ipairs({'again', 'taken'}) do
      local first = tonumber(redis.call('ZRANGE', of(name, id), 0, 0, 'WITHSCORES')[2])
      if first then at = math.min(at or first, first) end
    end
    if more then any_more = 1 end
    place(id, 'crawl', more and now or at or now + 1)
  end
end
return {seconds(now), any_more, unpack(taken)}
