-- A taken page has its outcome: noted for the summary, told, its links kept, and whatever follows for the crawl decided, all in one.
-- ARGV: now, id, url, end of lease, 'completed' or 'failed', entry of the summary (JSON), cost (credits),
--       event (JSON, without its opening brace; '' = none), seconds until it is told, every how many-th is lost (0 = none),
--       where it was redirected to or '', its host rests until ('' = it does not, 0 = for longer than before), links ...
-- Returns 'settled', or 'stale' where the page is not the caller's any more.
local now, id, url = clock(ARGV[1]), ARGV[2], ARGV[3]
if not is_holder(id, url, ARGV[4]) then return 'stale' end
-- First of all writes: where memory is out, this one is refused and nothing has happened.
redis.call('RPUSH', of(ARGV[5], id), ARGV[6])
redis.call('ZREM', of('taken', id), url)
redis.call('HDEL', of('tries', id), url)
local record = record_of(id)
local cost = redis.call('HINCRBY', record, 'cost', ARGV[7])
if ARGV[8] ~= '' then
  local number = redis.call('HINCRBY', record, 'events', 1)
  local every = tonumber(ARGV[10])
  if every == 0 or number % every ~= 0 then
    local due = now + tonumber(ARGV[9])
    local event = '{"currentCost":' .. cost .. ',' .. ARGV[8]
    redis.call('HSET', of('events', id), number, event)
    redis.call('HINCRBY', record, 'untold', #event)
    redis.call('ZADD', of('tell', id), seconds(due), number)
    due_by('tell', id, due)
  end
end
if ARGV[11] ~= '' then
  local landed = short(ARGV[11])
  redis.call('HSETNX', of('landed', id), landed, redis.call('HGET', record, 'depth'))
  redis.call('SADD', of('seen', id), landed)
end
if ARGV[12] ~= '' then
  let_rest(host_of(url), tonumber(ARGV[12]), now)
elseif ARGV[5] == 'completed' then
  redis.call('HDEL', of('resting', host_of(url)), 'times')
end
keep_links(id, 13)
if advance(id, now) ~= 'ended' then due_by('crawl', id, now) end
return 'settled'
