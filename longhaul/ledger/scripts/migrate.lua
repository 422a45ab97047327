-- Bring a claimed record up to date. Nothing else of it changes: neither its place in the index nor its fence.
-- ARGS: id, fence
--       fields{}, gone_fields[]    fields to set and to delete
--       blobs{}, gone_blobs[]      likewise
-- KEYS: record; from ARGS: blobs, gone_blobs
-- RETURNS: 1, or 0 where another worker has claimed it since
local record = key('record', id)
if (redis.call('HGET', record, 'fence') or '0') ~= fence then return 0 end
for at = 1, #fields, 2 do redis.call('HSET', record, fields[at], fields[at + 1]) end
for _, name in ipairs(gone_fields) do redis.call('HDEL', record, name) end
for at = 1, #blobs, 2 do redis.call('SET', key(blobs[at], id), blobs[at + 1]) end
for _, name in ipairs(gone_blobs) do redis.call('DEL', key(name, id)) end
return 1
