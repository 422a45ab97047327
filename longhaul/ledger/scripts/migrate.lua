-- Bring a claimed record up to date. Nothing else of it changes: neither its place in the index nor its fence.
-- ARGV: now, id, fence, count of fields, (name, value)*, count of fields to delete, their names, count of blobs, (name, value)*,
--       names of blobs to delete ...
-- Returns 1, or 0 where somebody else has claimed it since.
local id, at = ARGV[2], 4
local record = record_of(id)
if (redis.call('HGET', record, 'fence') or '0') ~= ARGV[3] then return 0 end
local function word()
  at = at + 1
  return ARGV[at - 1]
end
for _ = 1, tonumber(word()) do redis.call('HSET', record, word(), word()) end
for _ = 1, tonumber(word()) do redis.call('HDEL', record, word()) end
for _ = 1, tonumber(word()) do redis.call('SET', space .. ':' .. word() .. ':' .. id, word()) end
while ARGV[at] do redis.call('DEL', space .. ':' .. word() .. ':' .. id) end
return 1
