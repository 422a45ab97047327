-- Settle a claimed page: its entry in the summary, its event, its links, and what follows for the crawl, all in one.
-- USES: crawl, host_backoff
-- ARGS: now, id, url
--       ends                       of the page's lease
--       completed:flag             else it has failed
--       entry                      of the summary, JSON
--       cost                       credits
--       event?                     JSON, without its opening brace
--       delay:number               seconds until the event is delivered
--       lose:number                every how many-th event is lost; 0: none
--       redirected?                where the page was redirected to
--       backoff_until:number?      until when its host wants no requests; 0: for longer than before
--       links[]
-- KEYS: record, due, lanes, books, order, seen, redirected, tries, waiting, next, retry, claimed, completed, failed,
--       outbox, events, delivery_tries, host_backoff
-- RETURNS: 'settled', or 'stale' where the caller does not have the page any more
if not is_holder(id, url, ends) then return 'stale' end
-- Before all other writes: where memory is out, it is refused, and nothing has happened.
if completed then
  redis.call('RPUSH', key('completed', id), entry)
else
  redis.call('RPUSH', key('failed', id), entry)
end
redis.call('ZREM', key('claimed', id), url)
redis.call('HDEL', key('tries', id), url)
local record = key('record', id)
local cost_now = redis.call('HINCRBY', record, 'cost', cost)
if event then
  local number = redis.call('HINCRBY', record, 'events', 1)
  if lose == 0 or number % lose ~= 0 then
    local document = '{"currentCost":' .. cost_now .. ',' .. event
    redis.call('HSET', key('events', id), number, document)
    redis.call('HINCRBY', record, 'undelivered', #document)
    redis.call('ZADD', key('outbox', id), seconds(now + delay), number)
    due_by('deliver', id, now + delay)
  end
end
if redirected then
  redis.call('HSETNX', key('redirected', id), digest(redirected), redis.call('HGET', record, 'depth'))
  redis.call('SADD', key('seen', id), digest(redirected))
end
if backoff_until then
  back_off(host_of(url), backoff_until, now)
elseif completed then
  forget_backoff(host_of(url))
end
keep_links(id, links)
if advance(id, now) ~= 'ended' then due_by('crawl', id, now) end
return 'settled'
