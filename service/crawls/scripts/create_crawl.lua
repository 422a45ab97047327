-- Write a crawl; its first run is due at once, unless the crawl is not enabled.
-- USES: crawl
-- ARGS: now, id
--       url                        the start page, normalised
--       order                      JSON
--       enabled:flag
--       next_run:number?           when its schedule wants the next run
--       fields{}                   one may be the state of the summary: `due`, or, of the fault dial, `first`
-- KEYS: record, due, lanes, books, order, seen, waiting
-- RETURNS: nothing
local record, order_key = key('record', id), key('order', id)
redis.call('HSET', record, 'state', 'delayed', 'created', seconds(now), 'run', 1)
redis.call('HSET', record, 'cost', 0, 'depth', 0, 'events', 0, unpack(fields))
redis.call('SET', order_key, order)
redis.call('HINCRBY', key('books'), 'submitted', 1)
redis.call('HINCRBY', key('books'), 'delayed', 1)
if enabled then
  start_run(id, url, now)
else
  -- It will never run, so it is kept as if it had ended.
  local keep = redis.call('HGET', record, 'keep')
  redis.call('EXPIRE', record, keep)
  redis.call('EXPIRE', order_key, keep)
end
if next_run then place(id, 'schedule', next_run) end
