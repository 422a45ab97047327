-- What became of events: told or given up (they are gone then), or to be tried again.
-- What is not the caller's any more, because its lease has ended and another has it, or it is of an earlier run, stays as it is.
-- ARGV: now, then for each: id, number, end of its lease, when it is tried again ('' = not again), tries so far
local now, at, ids = clock(ARGV[1]), 2, {}
while ARGV[at] do
  local id, number, ends, again, tries = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local tell = of('tell', id)
  if tonumber(redis.call('ZSCORE', tell, number) or 0) ~= tonumber(ends) then
    number = ''
  elseif again ~= '' then
    redis.call('ZREM', of('telling', id), number)
    redis.call('HSET', of('told', id), number, tries)
    redis.call('ZADD', tell, again, number)
    due_by('tell', id, tonumber(again))
  else
    redis.call('ZREM', of('telling', id), number)
    redis.call('ZREM', tell, number)
    redis.call('HINCRBY', record_of(id), 'untold', -redis.call('HSTRLEN', of('events', id), number))
    redis.call('HDEL', of('events', id), number)
    redis.call('HDEL', of('told', id), number)
    if number == 'summary' then
      -- The fault dial has held the page events back until now.
      for _, held in ipairs(redis.call('ZRANGE', tell, 0, -1)) do redis.call('ZADD', tell, seconds(now), held) end
      due_by('tell', id, now)
    end
  end
  if number ~= '' then ids[id] = true end
  at = at + 5
end
for id in pairs(ids) do look_at_delivery(id, now) end
