-- Claim events to deliver, under a lease that ends by itself. Its end is the fence as well.
-- USES: states, batches
-- ARGS: now, limit:number
--       lease:number               seconds
--       life:number                seconds of the round's token, unless it claims again
--       share:number               events of one crawl at once in this round
--       per_crawl:number           events of one crawl at once in all rounds
--       bytes:number               that are enough for one claim
--       token?                     of the round
--       held...(crawl, events:number)  what the round has under way
-- KEYS: record, due, lanes, books, started, working, outbox, delivering, events, delivery_tries
-- RETURNS: {now, 1 if there is more to claim, {id, number, event or '', tries, end of lease}, ...}
--          The event with the number 'summary' is the caller's to write.
local EXAMINED = 64
local ends = seconds(now + lease)
if token then enter_batch('deliver', token, now + life) end
-- The places of this round are shared out among the crawls that have events due, so that none waits for another's slow
-- receiver.
local due = key('due', 'deliver')
local under_way, places, crawls = {}, limit, redis.call('ZCOUNT', due, '-inf', seconds(now))
for crawl, events in held do
  under_way[crawl] = events
  places = places + events
  if tonumber(redis.call('ZSCORE', due, crawl) or now + 1) > now then crawls = crawls + 1 end
end
share = math.min(share, math.max(1, math.floor(places / math.max(1, crawls))))
local claimed, more = {}, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', seconds(now), 'LIMIT', 0, EXAMINED)) do
  if limit <= 0 or bytes <= 0 then
    -- A crawl that is not served now keeps its place before those that were.
    more = 1
    break
  end
  local outbox, delivering = key('outbox', id), key('delivering', id)
  redis.call('ZREMRANGEBYSCORE', delivering, '-inf', seconds(now))
  local most = math.min(limit, share - (under_way[id] or 0), per_crawl - redis.call('ZCARD', delivering))
  local state = redis.call('HGET', key('record', id), 'state')
  if state == 'completed' or state == 'failed' or state == 'cancelled' then change_state(id, state, 'in delivery') end
  if most > 0 then
    for _, number in ipairs(redis.call('ZRANGEBYSCORE', outbox, '-inf', seconds(now), 'LIMIT', 0, most)) do
      redis.call('ZADD', outbox, ends, number)
      redis.call('ZADD', delivering, ends, number)
      local event = redis.call('HGET', key('events', id), number) or ''
      claimed[#claimed + 1] = {id, number, event, redis.call('HGET', key('delivery_tries', id), number) or '0', ends}
      limit, bytes = limit - 1, bytes - #event
      if bytes <= 0 then break end
    end
    redis.call('EXPIRE', delivering, math.ceil(lease) + 1)
  end
  local first = tonumber(redis.call('ZRANGE', outbox, 0, 0, 'WITHSCORES')[2])
  if not first then
    redis.call('ZREM', due, id)
  else
    if first <= now then more = 1 end
    place(id, 'deliver', math.max(first, now))
  end
end
return {seconds(now), more, unpack(claimed)}
