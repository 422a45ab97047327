-- Put records that are set aside back into the lanes that they were taken from, due now, with no stumbles to their name.
-- ARGV: now, beginning of the names of lanes of what is set aside, ids ...
-- Returns for each id the lane that it is in now, or why not: 'missing', 'not set aside'.
local now, prefix = clock(ARGV[1]), ARGV[2]
local answer = {}
for at = 3, #ARGV do
  local id = ARGV[at]
  local record = record_of(id)
  local found = redis.call('HMGET', record, 'lane', 'origin')
  if redis.call('EXISTS', record) == 0 then
    answer[#answer + 1] = 'missing'
  elseif not found[2] or not found[1] or found[1]:sub(1, #prefix) ~= prefix then
    answer[#answer + 1] = 'not set aside'
  else
    redis.call('ZREM', due_of(found[1]), id)
    redis.call('HSET', record, 'lane', found[2])
    redis.call('HDEL', record, 'origin', 'stumbles', 'stumble')
    redis.call('HINCRBY', record, 'fence', 1)
    place(id, found[2], now)
    answer[#answer + 1] = found[2]
  end
end
return answer
