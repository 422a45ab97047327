-- Cancel a crawl: no new page of it is claimed from here on, what is under way is refused, and it does not run again.
-- USES: crawl
-- ARGS: now, id
-- KEYS: record, due, lanes, books, order, seen, redirected, tries, waiting, next, retry, claimed, completed, failed,
--       outbox, events, delivery_tries
-- RETURNS: the state that it was in, or 'missing'
local record = key('record', id)
local found = redis.call('HMGET', record, 'state', 'recurs', 'keep', 'outcome')
if not found[1] then return 'missing' end
if found[2] then
  redis.call('HDEL', record, 'recurs', 'next')
  redis.call('ZREM', key('due', 'schedule'), id)
  if found[4] then
    redis.call('EXPIRE', record, found[3])
    redis.call('EXPIRE', key('order', id), found[3])
  end
end
if found[1] == 'delayed' or found[1] == 'running' then finish_run(id, found[1], 'cancelled', now) end
return found[1]
