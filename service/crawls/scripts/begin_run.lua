-- The next run of a recurring crawl: the former one's results make room for it.
-- ARGV: now, id, the run that was last, start url (normalised), when it runs next, summary, wait (s) where it cannot begin yet
-- Returns 'begun', 'busy' (the former run still goes on), or 'stale' (another has begun it, or it recurs no more).
local now, id = clock(ARGV[1]), ARGV[2]
local record = record_of(id)
local found = redis.call('HMGET', record, 'state', 'run', 'recurs')
if not found[3] then
  redis.call('ZREM', due_of('schedule'), id)
  return 'stale'
end
if found[2] ~= ARGV[3] then return 'stale' end
if found[1] ~= 'delivered' then
  place(id, 'schedule', now + tonumber(ARGV[7]))
  return 'busy'
end
for _, name in ipairs({'wait', 'next', 'again', 'taken', 'completed', 'failed', 'tell', 'telling', 'events', 'told'}) do
  redis.call('UNLINK', of(name, id))
end
change_state(id, 'delivered', 'delayed')
-- `events` goes on: a number stands for one event for ever, so that nobody takes this run's for the former one's.
redis.call('HSET', record, 'cost', 0, 'depth', 0, 'untold', 0)
redis.call('HDEL', record, 'outcome', 'ended', 'delivered', 'summary', 'wide')
if ARGV[6] ~= '' then redis.call('HSET', record, 'summary', ARGV[6]) end
redis.call('HINCRBY', record, 'run', 1)
start_run(id, ARGV[4], now)
place(id, 'schedule', tonumber(ARGV[5]))
redis.call('HSET', record, 'next', ARGV[5])
return 'begun'
