-- Write records that do not exist yet, due now. A message delivered twice finds its record and changes nothing.
-- ARGS: now, records...(id, state, lane, fields{}, blobs{})
-- KEYS: record, due, lanes, books; from ARGS: blobs
-- RETURNS: for each record 1 (written) or 0 (it existed)
local written = {}
for id, state, lane, fields, blobs in records do
  local record = key('record', id)
  local fresh = redis.call('EXISTS', record) == 0
  if fresh then
    redis.call('HSET', record, 'state', state, 'lane', lane, 'created', seconds(now), unpack(fields))
    place(id, lane, now)
    redis.call('HINCRBY', key('books'), 'submitted', 1)
    redis.call('HINCRBY', key('books'), state, 1)
    for at = 1, #blobs, 2 do redis.call('SET', key(blobs[at], id), blobs[at + 1]) end
  end
  written[#written + 1] = fresh and 1 or 0
end
return written
