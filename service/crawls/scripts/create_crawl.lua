-- Write a crawl; its first run is due at once, unless it is not enabled.
-- ARGV: now, id, start url (normalised), order (JSON), 1 if enabled, when it runs next ('' = never again), (field, value)*
local now, id = clock(ARGV[1]), ARGV[2]
local record = record_of(id)
-- One of the values may be the state of the summary: `due`, or, of the fault dial, `first`.
redis.call('HSET', record, 'state', 'delayed', 'created', seconds(now), 'run', 1, 'cost', 0, 'depth', 0, 'events', 0, unpack(ARGV, 7))
redis.call('SET', of('order', id), ARGV[4])
redis.call('HINCRBY', space .. ':books', 'submitted', 1)
redis.call('HINCRBY', space .. ':books', 'delayed', 1)
if ARGV[5] == '1' then
  start_run(id, ARGV[3], now)
else
  -- It will never run, so it is kept as if it had ended.
  local keep = redis.call('HGET', record, 'keep')
  redis.call('EXPIRE', record, keep)
  redis.call('EXPIRE', of('order', id), keep)
end
if ARGV[6] ~= '' then place(id, 'schedule', tonumber(ARGV[6])) end
