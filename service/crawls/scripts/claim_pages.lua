-- Take pages of the crawls that are due, under a lease that ends by itself. A page that is taken is a credit that is reserved.
-- A round asks a host for so many pages at once as it holds slots of it. It takes some pages ahead of its slots, so that none stands idle
-- while the ledger is asked for more.
-- ARGV: now, limit, lease (s), life (s) of the round's token and slots, unless it asks again, slots of one host for all rounds, and for one,
--       pages to take for each slot, token of the round or '', for how long (s) a page is tried,
--       (host, pages of it that the round has)*: a slot of a host of which it has none, and gets none now, is given back
-- Returns {now, 1 if there is more to take, {host, slots of the round, it rests until (s), ...}, {id, run, url, end of lease, depth, tries or ''}, ...};
-- tries: attempts, first (s), lost leases.
local now, limit, lease = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local life, per_host, share, ahead, token = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local patience = tonumber(ARGV[9])
local ends, alive_until = seconds(now + lease), seconds(now + life)
if token ~= '' then
  -- First of all writes: where memory is out, this one is refused and nothing is claimed whose end would be refused.
  redis.call('ZADD', space .. ':working:crawl', alive_until, token)
  redis.call('ZREM', space .. ':started:crawl', token)
end
local LOOKED_AT, DROPPED = 64, 1000
-- Pages that are passed over because their host has no slot free: behind them may be another host, where the crawl has several.
local SKIPPED, SKIPPED_WIDE = 8, 250
-- Bytes of events that a crawl may have untold: above that no page of it is taken, so that a slow receiver does not fill the ledger.
local UNTOLD = 64 * 1024 * 1024

local hosts, held = {}, {}
for at = 10, #ARGV, 2 do held[ARGV[at]] = tonumber(ARGV[at + 1]) end
local function host_at(url)
  local name = host_of(url)
  local host = hosts[name]
  if host then return host end
  local key, others, mine = of('busy', name), 0, 0
  redis.call('ZREMRANGEBYSCORE', key, '-inf', seconds(now))
  for _, holder in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if string.sub(holder, 1, #token + 1) == token .. ' ' then mine = mine + 1 else others = others + 1 end
  end
  local slots = math.max(mine, math.min(share, per_host - others))
  host = {
    slots = slots, quota = slots * ahead - (held[name] or 0), full = others + slots >= per_host,
    rest = tonumber(redis.call('HGET', of('resting', name), 'until') or 0), key = key,
  }
  hosts[name] = host
  return host
end

local function grant(host)
  host.granted = true
  for slot = 1, host.slots do redis.call('ZADD', host.key, alive_until, token .. ' ' .. slot) end
  redis.call('EXPIRE', host.key, math.ceil(life) + 1)
end

local taken, granted, any_more = {}, {}, 0
local function take(id, run, depth, url, host)
  if not host.granted then grant(host) end
  redis.call('ZADD', of('taken', id), ends, url)
  host.quota, limit = host.quota - 1, limit - 1
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

-- Its host wants to be left alone: it waits for that, but not beyond its own time, which for a page that was not tried yet begins now where
-- the host wants more than that. Returns whether that is over: the page is taken then, to fail, and no more asked for.
local function is_over(id, url, rest)
  local tries = redis.call('HGET', of('tries', id), url)
  local first = tries and tonumber(string.match(tries, '^%S+ (%S+)')) or now
  if first + patience <= now then return true end
  if not tries and first + patience < rest then redis.call('HSET', of('tries', id), url, '0 ' .. seconds(first) .. ' 0') end
  redis.call('ZADD', of('again', id), seconds(math.min(rest, first + patience)), url)
  return false
end

-- Pages of one level. Returns whether another round could take more, and when there may be more for this one.
local function serve(id, run, depth, left, most_skipped)
  local wait, skipped, dropped, more, at = of('wait', id), {}, 0, false, nil
  local redirected = redis.call('EXISTS', of('landed', id)) == 1
  while limit > 0 and left > 0 and #skipped < most_skipped and dropped < DROPPED do
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
        if is_over(id, url, host.rest) then
          take(id, run, depth, url, host)
          left = left - 1
        else
          dropped = dropped + 1
        end
      elseif host.quota <= 0 then
        skipped[#skipped + 1] = url
        at = now
        more = more or not host.full
      else
        take(id, run, depth, url, host)
        left = left - 1
      end
    end
  end
  -- Whoever holds the slots may be at another crawl, whose writes do not wake this one; and behind what is skipped may be other hosts.
  if at and (at == now or redis.call('EXISTS', wait) == 1) then at = now + 1 end
  if #skipped > 0 then redis.call('RPUSH', wait, unpack(skipped)) end
  return more or dropped >= DROPPED or (left > 0 and limit == 0 and redis.call('EXISTS', wait) == 1), at
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', due_of('crawl'), '-inf', seconds(now), 'LIMIT', 0, LOOKED_AT)) do
  if limit <= 0 then
    any_more = 1
    break
  end
  local more, at, step, last = false, nil, nil, now + LONGEST_RUN
  repeat
    local found = redis.call('HMGET', record_of(id), 'state', 'run', 'depth', 'budget', 'cost', 'untold', 'started', 'wide')
    if found[1] ~= 'running' and found[1] ~= 'delayed' then
      redis.call('ZREM', due_of('crawl'), id)
      step = 'ended'
    else
      if found[1] == 'delayed' then
        change_state(id, 'delayed', 'running')
        redis.call('HSET', record_of(id), 'started', seconds(now))
      end
      gather(id)
      local left = found[4] and pages_left(id, tonumber(found[4]), tonumber(found[5])) - redis.call('ZCARD', of('taken', id)) or math.huge
      if found[1] == 'running' then last = tonumber(found[7]) + LONGEST_RUN end
      if last <= now then
        end_run(id, 'running', now)
        step = 'ended'
      else
        if tonumber(found[6] or 0) > UNTOLD then
          more, at = false, now + 1
        else
          more, at = serve(id, found[2], tonumber(found[3]), left, found[8] and SKIPPED_WIDE or SKIPPED)
        end
        step = advance(id, now)
      end
    end
  until step ~= 'opened'
  if step ~= 'ended' then
    for _, name in ipairs({'again', 'taken'}) do
      local first = tonumber(redis.call('ZRANGE', of(name, id), 0, 0, 'WITHSCORES')[2])
      if first then at = math.min(at or first, first) end
    end
    if more then any_more = 1 end
    place(id, 'crawl', math.min(more and now or at or now + 1, last))
  end
end
for name, count in pairs(held) do
  local host = host_at('http://' .. name .. '/')
  if count > 0 and not host.granted then
    grant(host)
  elseif not host.granted then
    for slot = 1, share do redis.call('ZREM', host.key, token .. ' ' .. slot) end
    host.slots = 0
  end
end
for name, host in pairs(hosts) do
  if held[name] or host.granted then
    for _, part in ipairs({name, host.slots, seconds(host.rest)}) do granted[#granted + 1] = part end
  end
end
return {seconds(now), any_more, granted, unpack(taken)}
