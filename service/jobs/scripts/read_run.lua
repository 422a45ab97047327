-- One reading of a run. The first reading of a result is its retrieval: it is gone then, or in `grace` seconds.
-- KEYS: record, result. ARGV: now or '' for the server's time, grace (s)
-- Returns {} (unknown, or gone), or {{field, value, ...}, result or ''}.
local now, grace = ARGV[1], tonumber(ARGV[2])
if now == '' then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
else
  now = tonumber(now)
end
local found = redis.call('HMGET', KEYS[1], 'state', 'lane', 'retrieved')
if not found[1] then return {} end
local fields = redis.call('HGETALL', KEYS[1])
if found[1] ~= 'finished' then return {fields, ''} end
local result = redis.call('GET', KEYS[2])
if not result then return {} end
if found[3] then
  if now >= tonumber(found[3]) + grace then return {} end
  return {fields, result}
end
redis.call('HSET', KEYS[1], 'retrieved', string.format('%.3f', now))
-- A webhook that is still to be sent needs the result, so it stays; `retrieved` bars further readers.
if found[2] ~= 'webhook' then
  for _, key in ipairs(KEYS) do
    local left = redis.call('PTTL', key)
    if grace == 0 then
      redis.call('DEL', key)
    elseif left < 0 or left > grace * 1000 then
      redis.call('PEXPIRE', key, math.ceil(grace * 1000))
    end
  end
end
return {fields, result}
