-- Stands after the ledger's prelude before every script of the crawls. A URL of a crawl stands in one place at a time:
--   wait, next     lists: pages of the present level, and of the next, that wait
--   again          sorted set: url -> when it is tried again
--   taken          sorted set: url -> end of its lease, which is its fence as well, for no later lease ends as early
--   completed, failed   lists of the summary's entries, JSON
-- and as its digest in `seen`. Events: `tell`, a sorted set number -> when it is told, or the end of its lease; `telling`, those of these that are
-- under a lease; `events`, a hash number -> JSON; `told`, a hash number -> tries.
local function of(name, id) return space .. ':' .. name .. ':' .. id end
local function short(url) return string.sub(redis.sha1hex(url), 1, 24) end
local function host_of(url) return string.match(url, '^%a+://([^/?#]*)') or '' end

-- Due at `time` at the latest.
local function due_by(lane, id, time)
  redis.call('ZADD', due_of(lane), 'LT', seconds(time), id)
  redis.call('SADD', space .. ':lanes', lane)
end

local function start_run(id, url, now)
  redis.call('HSET', record_of(id), 'host', host_of(url))
  redis.call('SADD', of('seen', id), short(url))
  redis.call('RPUSH', of('wait', id), url)
  due_by('crawl', id, now)
end

-- The crawl has ended: when no page event is left its summary is due, once; when that is told, too, the crawl is delivered.
local function look_at_delivery(id, now)
  if redis.call('EXISTS', of('tell', id)) == 1 then return end
  local record = record_of(id)
  local found = redis.call('HMGET', record, 'state', 'outcome', 'summary')
  if not found[2] or found[1] == 'delivered' then return end
  if found[3] == 'due' then
    redis.call('HSET', record, 'summary', 'written')
    redis.call('ZADD', of('tell', id), seconds(now), 'summary')
    due_by('tell', id, now)
    return
  end
  change_state(id, found[1], 'delivered')
  redis.call('HSET', record, 'delivered', seconds(now))
  redis.call('ZREM', due_of('tell'), id)
end

-- The end of a run: whatever still waits stays where it is, for the summary.
local function finish(id, from, outcome, now)
  local record = record_of(id)
  change_state(id, from, outcome)
  redis.call('HSET', record, 'outcome', outcome, 'ended', seconds(now))
  redis.call('ZREM', due_of('crawl'), id)
  redis.call('UNLINK', of('seen', id), of('landed', id), of('tries', id))
  local found = redis.call('HMGET', record, 'keep', 'recurs', 'summary')
  for _, name in ipairs({'wait', 'next', 'again', 'taken', 'completed', 'failed', 'tell', 'events', 'told'}) do
    redis.call('EXPIRE', of(name, id), found[1])
  end
  if not found[2] then
    redis.call('EXPIRE', record, found[1])
    redis.call('EXPIRE', of('order', id), found[1])
  end
  if found[3] == 'first' then
    -- The fault dial wants it before the pages, which are held until it is told.
    redis.call('HSET', record, 'summary', 'written')
    redis.call('ZADD', of('tell', id), seconds(now), 'summary')
    due_by('tell', id, now)
  end
  look_at_delivery(id, now)
end

-- Bounds of what costs nothing: outcomes for each credit of a budget, and 100 more; pages of one crawl; seconds of one run.
local PER_CREDIT, MOST_PAGES, LONGEST_RUN = 10, 1000000, 7 * 24 * 3600

-- The pages that a crawl with this budget may still have, charged or not.
local function pages_left(id, budget, cost)
  local outcomes = redis.call('LLEN', of('completed', id)) + redis.call('LLEN', of('failed', id))
  return math.min(budget - cost, PER_CREDIT * budget + 100 - outcomes)
end

-- How a run ends that nobody has cancelled.
local function end_run(id, from, now)
  local fruitless = redis.call('EXISTS', of('completed', id)) == 0 and redis.call('EXISTS', of('failed', id)) == 1
  finish(id, from, fruitless and 'failed' or 'completed', now)
end

-- The one look that decides what follows where nothing is under way: the next level, or the end.
-- Returns 'opened', 'ended', or nil where the level goes on.
local function advance(id, now)
  if redis.call('EXISTS', of('taken', id)) == 1 then return nil end
  local record = record_of(id)
  local found = redis.call('HMGET', record, 'state', 'budget', 'cost')
  if redis.call('EXISTS', of('wait', id), of('again', id), of('next', id)) > 0
    and not (found[2] and pages_left(id, tonumber(found[2]), tonumber(found[3])) <= 0) then
    if redis.call('EXISTS', of('wait', id), of('again', id)) > 0 then return nil end
    redis.call('RENAME', of('next', id), of('wait', id))
    redis.call('HINCRBY', record, 'depth', 1)
    return 'opened'
  end
  end_run(id, found[1], now)
  return 'ended'
end

-- The links from ARGV[from] on, as far as they are new, and there is room for them, wait for the next level.
local function keep_links(id, from)
  if from > #ARGV then return end
  local seen, fresh = of('seen', id), {}
  local found = redis.call('HMGET', record_of(id), 'budget', 'host', 'wide')
  local room = math.max(MOST_PAGES, PER_CREDIT * tonumber(found[1] or 0) + 100) - redis.call('SCARD', seen)
  local wide = found[3]
  for at = from, #ARGV do
    if #fresh >= room then break end
    if redis.call('SADD', seen, short(ARGV[at])) == 1 then
      fresh[#fresh + 1] = ARGV[at]
      wide = wide or host_of(ARGV[at]) ~= found[2]
    end
  end
  if wide and not found[3] then redis.call('HSET', record_of(id), 'wide', 1) end
  if #fresh > 0 then redis.call('RPUSH', of('next', id), unpack(fresh)) end
end

-- Whether this page is still the caller's: it is running, and nobody has taken it since.
local function is_holder(id, url, ends)
  return redis.call('HGET', record_of(id), 'state') == 'running'
    and tonumber(redis.call('ZSCORE', of('taken', id), url) or 0) == tonumber(ends)
end

-- A host wants to be left alone by every round: until then, or, where it has not said when (0), for twice as long as the time before.
local function let_rest(host, rest, now)
  local LONGEST = 3600
  local key = of('resting', host)
  local found = redis.call('HMGET', key, 'until', 'times')
  local before, times = tonumber(found[1] or 0), tonumber(found[2] or 0)
  if rest == 0 then
    if before > now then return end  -- it was asked before it had said so
    rest, times = now + math.min(2 ^ times, LONGEST), times + 1
  end
  rest = math.min(rest, now + LONGEST)
  if rest <= math.max(before, now) then return end
  redis.call('HSET', key, 'until', seconds(rest), 'times', times)
  redis.call('EXPIRE', key, math.ceil(rest - now) + LONGEST)
end
