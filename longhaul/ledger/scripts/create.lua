-- Write records that are not there yet, due now. A message delivered twice finds its record and changes nothing.
-- ARGV: now, then for each record: id, state, lane, count of fields, (name, value)*, count of blobs, (name, value)*
-- Returns a list of 1 (written) or 0 (was there).
local now = clock(ARGV[1])
local written, at = {}, 2
local function take()
  at = at + 1
  return ARGV[at - 1]
end
while ARGV[at] do
  local id, state, lane = take(), take(), take()
  local fresh = redis.call('EXISTS', record_of(id)) == 0
  local fields = {'state', state, 'lane', lane, 'created', seconds(now)}
  for _ = 1, 2 * tonumber(take()) do fields[#fields + 1] = take() end
  if fresh then
    redis.call('HSET', record_of(id), unpack(fields))
    place(id, lane, now)
    redis.call('HINCRBY', space .. ':books', 'submitted', 1)
    redis.call('HINCRBY', space .. ':books', state, 1)
  end
  for _ = 1, tonumber(take()) do
    local name, value = take(), take()
    if fresh then redis.call('SET', space .. ':' .. name .. ':' .. id, value) end
  end
  written[#written + 1] = fresh and 1 or 0
end
return written
