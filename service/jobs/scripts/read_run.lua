-- Read a run. The first reading of a result is its retrieval: it is gone then, or in `grace` seconds.
-- ARGS: now, id
--       grace:number               seconds
-- KEYS: record, result
-- RETURNS: {} (unknown, or gone), or {{field, value, ...}, result or ''}
local record = key('record', id)
local found = redis.call('HMGET', record, 'state', 'lane', 'retrieved')
if not found[1] then return {} end
local fields = redis.call('HGETALL', record)
if found[1] ~= 'finished' then return {fields, ''} end
local text = redis.call('GET', key('result', id))
if not text then return {} end
if found[3] then
  if now >= tonumber(found[3]) + grace then return {} end
  return {fields, text}
end
redis.call('HSET', record, 'retrieved', seconds(now))
-- A webhook that is still to be sent needs the result, so it stays; `retrieved` bars further readers.
if found[2] ~= 'webhook' then
  for _, family in ipairs({'record', 'result'}) do
    local one = key(family, id)
    local left = redis.call('PTTL', one)
    if grace == 0 then
      redis.call('DEL', one)
    elseif left < 0 or left > grace * 1000 then
      redis.call('PEXPIRE', one, math.ceil(grace * 1000))
    end
  end
end
return {fields, text}
