-- Settle claimed events: those that are delivered or given up are deleted, the others are tried again. An event that
-- the caller does not have any more stays as it is: its lease has ended and another has it, or it is of an earlier run.
-- USES: crawl
-- ARGS: now
--       events...(id, number, ends, retry_at:number?, tries)  `ends`: of the lease; no `retry_at`: no other try
-- KEYS: record, due, lanes, books, outbox, delivering, events, delivery_tries
-- RETURNS: nothing
local ids = {}
for id, number, ends, retry_at, tries in events do
  local outbox = key('outbox', id)
  if tonumber(redis.call('ZSCORE', outbox, number) or 0) == tonumber(ends) then
    ids[id] = true
    redis.call('ZREM', key('delivering', id), number)
    if retry_at then
      redis.call('HSET', key('delivery_tries', id), number, tries)
      redis.call('ZADD', outbox, seconds(retry_at), number)
      due_by('deliver', id, retry_at)
    else
      redis.call('ZREM', outbox, number)
      -- 0 - ...: -HSTRLEN of an event that is not there is -0, which servers before 7.2 refuse.
      redis.call('HINCRBY', key('record', id), 'undelivered', 0 - redis.call('HSTRLEN', key('events', id), number))
      redis.call('HDEL', key('events', id), number)
      redis.call('HDEL', key('delivery_tries', id), number)
      if number == 'summary' then
        -- The fault dial has held the page events back until now.
        for _, event in ipairs(redis.call('ZRANGE', outbox, 0, -1)) do
          redis.call('ZADD', outbox, seconds(now), event)
        end
        due_by('deliver', id, now)
      end
    end
  end
end
for id in pairs(ids) do advance_delivery(id, now) end
