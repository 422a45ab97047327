-- Put records in quarantine back into the lanes that they came from, due now, with their crashes forgotten.
-- ARGS: now
--       prefix                     what the name of a quarantine's lane begins with
--       ids[]
-- KEYS: record, due, lanes
-- RETURNS: for each id the lane that it is in now, or why not: 'missing', 'not in quarantine'
local answer = {}
for _, id in ipairs(ids) do
  local record = key('record', id)
  local found = redis.call('HMGET', record, 'lane', 'origin')
  if redis.call('EXISTS', record) == 0 then
    answer[#answer + 1] = 'missing'
  elseif not found[2] or not found[1] or found[1]:sub(1, #prefix) ~= prefix then
    answer[#answer + 1] = 'not in quarantine'
  else
    redis.call('ZREM', key('due', found[1]), id)
    redis.call('HSET', record, 'lane', found[2])
    redis.call('HDEL', record, 'origin', 'crashes', 'crash')
    redis.call('HINCRBY', record, 'fence', 1)
    place(id, found[2], now)
    answer[#answer + 1] = found[2]
  end
end
return answer
