-- What became of events: told or given up (they are gone then), or to be tried again.
-- ARGV: now, then for each: id, number, when it is tried again ('' = not again), tries so far
local now, at, ids = clock(ARGV[1]), 2, {}
while ARGV[at] do
  local id, number, again, tries = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local tell = of('tell', id)
  if again ~= '' and redis.call('ZSCORE', tell, number) then
    redis.call('HSET', of('told', id), number, tries)
    redis.call('ZADD', tell, again, number)
    due_by('tell', id, tonumber(again))
  else
    redis.call('ZREM', tell, number)
    redis.call('HDEL', of('events', id), number)
    redis.call('HDEL', of('told', id), number)
    if number == 'summary' then
      -- The fault dial has held the page events back until now.
      for _, held in ipairs(redis.call('ZRANGE', tell, 0, -1)) do redis.call('ZADD', tell, seconds(now), held) end
      due_by('tell', id, now)
    end
  end
  ids[id] = true
  at = at + 4
end
for id in pairs(ids) do look_at_delivery(id, now) end
