-- End a record: state -> terminal, envelope -> results queue, due index -> gone, all in one.
-- USES: states
-- ARGS: now, id, fence, state
--       keep:number                seconds for which the record stays, so that a message delivered twice finds it ended
--       stream?, envelope          where the envelope goes, if there is one
--       result_key?, result        where the result goes, if a client may wait for it
--       result_ttl:number          seconds for which the result stays
--       next_lane?                 where the ended record has a next action
--       guard_field?, guard_value  a field that must still have this value, 0 where it is absent
--       fields{}                   fields to set
--       outlive[], forget[]        blobs that stay as long as the record, and blobs to delete
-- KEYS: record, due, lanes, books; from ARGS: stream, result_key, outlive, forget
-- RETURNS: 'finished', or why not: 'missing', 'ended', 'stale'
local from, lane = guarded(id, fence, state)
if not from then return lane end
local record = key('record', id)
if guard_field and (redis.call('HGET', record, guard_field) or '0') ~= guard_value then return 'stale' end
-- Before all other writes: where memory is out, it is refused, and nothing has happened.
if stream then
  redis.call('XADD', stream, '*', 'envelope', envelope)
  redis.call('HINCRBY', key('books'), 'envelopes', 1)
end
if result_key then
  -- Both halves of what Celery's Redis backend does: the value for a later reader, the message for one that waits now.
  redis.call('SETEX', result_key, result_ttl, result)
  redis.call('PUBLISH', result_key, result)
end
change_state(id, from, state)
redis.call('ZREM', key('due', lane), id)
redis.call('HDEL', record, 'lease')
redis.call('HSET', record, 'ended', seconds(now), 'lane', next_lane or '', unpack(fields))
if next_lane then place(id, next_lane, now) end
redis.call('EXPIRE', record, keep)
for _, blob in ipairs(outlive) do redis.call('EXPIRE', key(blob, id), keep) end
for _, blob in ipairs(forget) do redis.call('DEL', key(blob, id)) end
return 'finished'
