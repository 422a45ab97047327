-- Functions on the life of a crawl, its pages and its events. `service/crawls/__init__.py` says what each key holds.
-- USES: states

local function digest(url) return string.sub(redis.sha1hex(url), 1, 24) end
local function host_of(url) return string.match(url, '^%a+://([^/?#]*)') or '' end

-- Due at `time` at the latest.
local function due_by(lane, id, time)
  redis.call('ZADD', key('due', lane), 'LT', seconds(time), id)
  redis.call('SADD', key('lanes'), lane)
end

local function start_run(id, url, now)
  redis.call('HSET', key('record', id), 'host', host_of(url))
  redis.call('SADD', key('seen', id), digest(url))
  redis.call('RPUSH', key('waiting', id), url)
  due_by('crawl', id, now)
end

local function summary_due(id, now)
  redis.call('HSET', key('record', id), 'summary', 'written')
  redis.call('ZADD', key('outbox', id), seconds(now), 'summary')
  due_by('deliver', id, now)
end

-- Where the run has ended: once no page event is left, its summary is due; once that is delivered, too, the crawl is
-- delivered.
local function advance_delivery(id, now)
  if redis.call('EXISTS', key('outbox', id)) == 1 then return end
  local record = key('record', id)
  local found = redis.call('HMGET', record, 'state', 'outcome', 'summary')
  if not found[2] or found[1] == 'delivered' then return end
  if found[3] == 'due' then
    summary_due(id, now)
    return
  end
  change_state(id, found[1], 'delivered')
  redis.call('HSET', record, 'delivered', seconds(now))
  redis.call('ZREM', key('due', 'deliver'), id)
end

-- End a run. What still waits stays where it is, for the summary.
local function finish_run(id, from, outcome, now)
  local record = key('record', id)
  change_state(id, from, outcome)
  redis.call('HSET', record, 'outcome', outcome, 'ended', seconds(now))
  redis.call('ZREM', key('due', 'crawl'), id)
  redis.call('UNLINK', key('seen', id), key('redirected', id), key('tries', id))
  local found = redis.call('HMGET', record, 'keep', 'recurs', 'summary')
  for _, family in ipairs({
    'waiting', 'next', 'retry', 'claimed', 'completed', 'failed', 'outbox', 'events', 'delivery_tries',
  }) do
    redis.call('EXPIRE', key(family, id), found[1])
  end
  if not found[2] then
    redis.call('EXPIRE', record, found[1])
    redis.call('EXPIRE', key('order', id), found[1])
  end
  -- The fault dial wants it before the pages, which are held until it is delivered.
  if found[3] == 'first' then summary_due(id, now) end
  advance_delivery(id, now)
end

-- Bounds of what costs nothing: outcomes for each credit of a budget, and 100 more; pages of one crawl; seconds of one
-- run.
local PER_CREDIT, MOST_PAGES, LONGEST_RUN = 10, 1000000, 7 * 24 * 3600

-- The pages that a crawl with this budget may still have, charged or not.
local function pages_left(id, budget, cost)
  local outcomes = redis.call('LLEN', key('completed', id)) + redis.call('LLEN', key('failed', id))
  return math.min(budget - cost, PER_CREDIT * budget + 100 - outcomes)
end

-- End a run that was not cancelled.
local function complete_run(id, from, now)
  local fruitless = redis.call('EXISTS', key('completed', id)) == 0 and redis.call('EXISTS', key('failed', id)) == 1
  finish_run(id, from, fruitless and 'failed' or 'completed', now)
end

-- Decide what follows where nothing is under way: the next level, or the end.
-- Returns 'opened', 'ended', or nil where the level goes on.
local function advance(id, now)
  if redis.call('EXISTS', key('claimed', id)) == 1 then return nil end
  local record, waiting, retry, next_level = key('record', id), key('waiting', id), key('retry', id), key('next', id)
  local found = redis.call('HMGET', record, 'state', 'budget', 'cost')
  if redis.call('EXISTS', waiting, retry, next_level) > 0
    and not (found[2] and pages_left(id, tonumber(found[2]), tonumber(found[3])) <= 0) then
    if redis.call('EXISTS', waiting, retry) > 0 then return nil end
    redis.call('RENAME', next_level, waiting)
    redis.call('HINCRBY', record, 'depth', 1)
    return 'opened'
  end
  complete_run(id, found[1], now)
  return 'ended'
end

-- Links that are new wait for the next level, as far as there is room for them.
local function keep_links(id, links)
  if #links == 0 then return end
  local seen, fresh = key('seen', id), {}
  local found = redis.call('HMGET', key('record', id), 'budget', 'host', 'several_hosts')
  local room = math.max(MOST_PAGES, PER_CREDIT * tonumber(found[1] or 0) + 100) - redis.call('SCARD', seen)
  local several_hosts = found[3]
  for _, link in ipairs(links) do
    if #fresh >= room then break end
    if redis.call('SADD', seen, digest(link)) == 1 then
      fresh[#fresh + 1] = link
      several_hosts = several_hosts or host_of(link) ~= found[2]
    end
  end
  if several_hosts and not found[3] then redis.call('HSET', key('record', id), 'several_hosts', 1) end
  if #fresh > 0 then redis.call('RPUSH', key('next', id), unpack(fresh)) end
end

-- Whether the caller still has this page: the crawl is running, and no other round has claimed the page since.
local function is_holder(id, url, ends)
  return redis.call('HGET', key('record', id), 'state') == 'running'
    and tonumber(redis.call('ZSCORE', key('claimed', id), url) or 0) == tonumber(ends)
end
