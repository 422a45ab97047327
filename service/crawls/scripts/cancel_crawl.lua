-- Nothing new of this crawl is taken from here on, what is under way is refused, and it runs no more.
-- ARGV: now, id
-- Returns the state that it was in, or 'missing'.
local now, id = clock(ARGV[1]), ARGV[2]
local record = record_of(id)
local found = redis.call('HMGET', record, 'state', 'recurs', 'keep', 'outcome')
if not found[1] then return 'missing' end
if found[2] then
  redis.call('HDEL', record, 'recurs', 'next')
  redis.call('ZREM', due_of('schedule'), id)
  if found[4] then
    redis.call('EXPIRE', record, found[3])
    redis.call('EXPIRE', of('order', id), found[3])
  end
end
if found[1] == 'delayed' or found[1] == 'running' then finish(id, found[1], 'cancelled', now) end
return found[1]
