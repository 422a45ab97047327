-- Claim pages of the crawls that are due, under a lease that ends by itself. A claimed page is a credit that is
-- reserved. A round asks a host for as many pages at once as it holds slots of it. It claims some pages ahead of its
-- slots, so that no slot stands idle while the ledger is asked for more. Slots of a host are given back when the round
-- has no page of it, and gets none.
-- USES: crawl, batches
-- ARGS: now, limit:number
--       lease:number               seconds
--       life:number                seconds of the round's token and slots, unless it claims again
--       per_host:number            slots of one host for all rounds
--       share:number               slots of one host for one round
--       ahead:number               pages to claim for each slot
--       token?                     of the round
--       retry_for:number           seconds for which a page is tried
--       held...(name, pages:number)  pages that the round has of each host
-- KEYS: record, due, lanes, books, order, started, working, slots, host_backoff, seen, redirected, tries, waiting,
--       next, retry, claimed, completed, failed, outbox, events, delivery_tries
-- RETURNS: {now, 1 if there is more to claim, {host, slots of the round, its backoff's end, ...},
--          {id, run, url, end of lease, depth, tries or ''}, ...}; tries: attempts, when the first was, lost leases
local ends, alive_until = seconds(now + lease), seconds(now + life)
if token then enter_batch('crawl', token, now + life) end
local holder = token or ''
local EXAMINED, DROPPED = 64, 1000
-- Pages that are passed over because their host has no slot free: behind them may be another host, where the crawl has
-- several.
local SKIPPED, SKIPPED_SEVERAL_HOSTS = 8, 250
-- Bytes of events that a crawl may have undelivered: above that no page of it is claimed, so that a slow receiver does
-- not fill the ledger.
local MOST_UNDELIVERED = 64 * 1024 * 1024

local hosts, has = {}, {}
for name, pages in held do has[name] = pages end
local function host_named(name)
  local host = hosts[name]
  if host then return host end
  local slots_key, others, mine = key('slots', name), 0, 0
  redis.call('ZREMRANGEBYSCORE', slots_key, '-inf', seconds(now))
  for _, slot in ipairs(redis.call('ZRANGE', slots_key, 0, -1)) do
    if string.sub(slot, 1, #holder + 1) == holder .. ' ' then mine = mine + 1 else others = others + 1 end
  end
  local slots = math.max(mine, math.min(share, per_host - others))
  host = {
    name = name, slots = slots, quota = slots * ahead - (has[name] or 0), full = others + slots >= per_host,
    backoff_until = tonumber(redis.call('HGET', key('host_backoff', name), 'until') or 0),
  }
  hosts[name] = host
  return host
end

local function grant(host)
  host.granted = true
  local slots_key = key('slots', host.name)
  for slot = 1, host.slots do redis.call('ZADD', slots_key, alive_until, holder .. ' ' .. slot) end
  redis.call('EXPIRE', slots_key, math.ceil(life) + 1)
end

local claimed, granted, any_more = {}, {}, 0
local function claim(id, run, depth, url, host)
  if not host.granted then grant(host) end
  redis.call('ZADD', key('claimed', id), ends, url)
  host.quota, limit = host.quota - 1, limit - 1
  claimed[#claimed + 1] = {id, run, url, ends, depth, redis.call('HGET', key('tries', id), url) or ''}
end

-- What waits because its lease or its pause is over stands before all others.
local function gather(id)
  local waiting, retry, tries = key('waiting', id), key('retry', id), key('tries', id)
  for _, url in ipairs(redis.call('ZRANGEBYSCORE', key('claimed', id), '-inf', seconds(now), 'LIMIT', 0, limit)) do
    redis.call('LPUSH', waiting, url)
    redis.call('ZREM', key('claimed', id), url)
    local attempts, first, lost = string.match(redis.call('HGET', tries, url) or '', '^(%S+) (%S+) (%S+)$')
    redis.call('HSET', tries, url, table.concat({attempts or 0, first or seconds(now), (lost or 0) + 1}, ' '))
  end
  for _, url in ipairs(redis.call('ZRANGEBYSCORE', retry, '-inf', seconds(now), 'LIMIT', 0, limit)) do
    redis.call('LPUSH', waiting, url)
    redis.call('ZREM', retry, url)
  end
end

-- Its host wants no requests: the page waits for the end of that, but not beyond its own time, which for a page that
-- was not tried yet begins now where the host wants more than that. Returns whether that time is over: the page is
-- claimed then, to fail without a request.
local function is_over(id, url, backoff_until)
  local tries = redis.call('HGET', key('tries', id), url)
  local first = tries and tonumber(string.match(tries, '^%S+ (%S+)')) or now
  if first + retry_for <= now then return true end
  if not tries and first + retry_for < backoff_until then
    redis.call('HSET', key('tries', id), url, '0 ' .. seconds(first) .. ' 0')
  end
  redis.call('ZADD', key('retry', id), seconds(math.min(backoff_until, first + retry_for)), url)
  return false
end

-- Claim pages of one level. Returns whether another round could claim more, and when there may be more for this one.
local function serve(id, run, depth, left, most_skipped)
  local waiting, redirected, skipped, dropped, more, at = key('waiting', id), key('redirected', id), {}, 0, false, nil
  local any_redirected = redis.call('EXISTS', redirected) == 1
  while limit > 0 and left > 0 and #skipped < most_skipped and dropped < DROPPED do
    local url = redis.call('LPOP', waiting)
    if not url then break end
    -- A page of an earlier level was redirected here: it has been read. One of the same level does not count, for which
    -- of the two came first must not decide what is crawled.
    local level = any_redirected and redis.call('HGET', redirected, digest(url))
    if level and tonumber(level) < depth then
      dropped = dropped + 1
    else
      local host = host_named(host_of(url))
      if host.backoff_until > now then
        if is_over(id, url, host.backoff_until) then
          claim(id, run, depth, url, host)
          left = left - 1
        else
          dropped = dropped + 1
        end
      elseif host.quota <= 0 then
        skipped[#skipped + 1] = url
        at = now
        more = more or not host.full
      else
        claim(id, run, depth, url, host)
        left = left - 1
      end
    end
  end
  -- The holder of the slots may be at another crawl, whose writes do not wake this one; and behind what is skipped may
  -- be other hosts.
  if at and (at == now or redis.call('EXISTS', waiting) == 1) then at = now + 1 end
  if #skipped > 0 then redis.call('RPUSH', waiting, unpack(skipped)) end
  return more or dropped >= DROPPED or (left > 0 and limit == 0 and redis.call('EXISTS', waiting) == 1), at
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('due', 'crawl'), '-inf', seconds(now), 'LIMIT', 0, EXAMINED)) do
  if limit <= 0 then
    any_more = 1
    break
  end
  local record, more, at, step, last = key('record', id), false, nil, nil, now + LONGEST_RUN
  repeat
    local found = redis.call(
      'HMGET', record, 'state', 'run', 'depth', 'budget', 'cost', 'undelivered', 'started', 'several_hosts'
    )
    if found[1] ~= 'running' and found[1] ~= 'delayed' then
      redis.call('ZREM', key('due', 'crawl'), id)
      step = 'ended'
    else
      if found[1] == 'delayed' then
        change_state(id, 'delayed', 'running')
        redis.call('HSET', record, 'started', seconds(now))
      end
      gather(id)
      local left = math.huge
      if found[4] then
        left = pages_left(id, tonumber(found[4]), tonumber(found[5])) - redis.call('ZCARD', key('claimed', id))
      end
      if found[1] == 'running' then last = tonumber(found[7]) + LONGEST_RUN end
      if last <= now then
        complete_run(id, 'running', now)
        step = 'ended'
      else
        if tonumber(found[6] or 0) > MOST_UNDELIVERED then
          more, at = false, now + 1
        else
          more, at = serve(id, found[2], tonumber(found[3]), left, found[8] and SKIPPED_SEVERAL_HOSTS or SKIPPED)
        end
        step = advance(id, now)
      end
    end
  until step ~= 'opened'
  if step ~= 'ended' then
    for _, family in ipairs({'retry', 'claimed'}) do
      local first = tonumber(redis.call('ZRANGE', key(family, id), 0, 0, 'WITHSCORES')[2])
      if first then at = math.min(at or first, first) end
    end
    if more then any_more = 1 end
    place(id, 'crawl', math.min(more and now or at or now + 1, last))
  end
end
for name, pages in pairs(has) do
  local host = host_named(name)
  if pages > 0 and not host.granted then
    grant(host)
  elseif not host.granted then
    for slot = 1, share do redis.call('ZREM', key('slots', name), holder .. ' ' .. slot) end
    host.slots = 0
  end
end
for name, host in pairs(hosts) do
  if has[name] or host.granted then
    for _, part in ipairs({name, host.slots, seconds(host.backoff_until)}) do granted[#granted + 1] = part end
  end
end
return {seconds(now), any_more, granted, unpack(claimed)}
