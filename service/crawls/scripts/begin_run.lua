-- Begin the next run of a recurring crawl: the results of the run before make room for it.
-- USES: crawl
-- ARGS: now, id
--       last_run                   the run before
--       url                        the start page, normalised
--       next_run:number            when its schedule wants the run after this
--       summary?                   the state of its summary
--       busy_wait:number           seconds to the next try, where the run before still goes on
-- KEYS: record, due, lanes, books, seen, waiting, next, retry, claimed, completed, failed, outbox, delivering, events,
--       delivery_tries
-- RETURNS: 'begun', 'busy' (the run before still goes on), or 'stale' (another has begun it, or it recurs no more)
local record = key('record', id)
local found = redis.call('HMGET', record, 'state', 'run', 'recurs')
if not found[3] then
  redis.call('ZREM', key('due', 'schedule'), id)
  return 'stale'
end
if found[2] ~= last_run then return 'stale' end
if found[1] ~= 'delivered' then
  place(id, 'schedule', now + busy_wait)
  return 'busy'
end
for _, family in ipairs({
  'waiting', 'next', 'retry', 'claimed', 'completed', 'failed', 'outbox', 'delivering', 'events', 'delivery_tries',
}) do
  redis.call('UNLINK', key(family, id))
end
change_state(id, 'delivered', 'delayed')
-- The field `events` goes on: a number means one event for ever, so no event is taken for one of another run.
redis.call('HSET', record, 'cost', 0, 'depth', 0, 'undelivered', 0)
redis.call('HDEL', record, 'outcome', 'ended', 'delivered', 'summary', 'several_hosts')
if summary then redis.call('HSET', record, 'summary', summary) end
redis.call('HINCRBY', record, 'run', 1)
start_run(id, url, now)
place(id, 'schedule', next_run)
redis.call('HSET', record, 'next', seconds(next_run))
return 'begun'
