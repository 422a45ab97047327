-- Take events to be told, under a lease that ends by itself. Its end is the fence as well.
-- ARGV: now, limit, lease (s), life (s) of the round's token, unless it asks again, events of one crawl at once in this round, and in all,
--       bytes that are enough, token of the round or '', (id, events of it that this round has under way)*
-- Returns {now, 1 if there is more to take, {id, number, event or '', tries, end of lease}, ...}. Number `summary`: the event is the caller's to write.
local now, limit, lease, life = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local share, per_crawl, bytes, token = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local ends = seconds(now + lease)
if token ~= '' then
  redis.call('ZADD', space .. ':working:tell', seconds(now + life), token)
  redis.call('ZREM', space .. ':started:tell', token)
end
local LOOKED_AT = 64
-- The places of this round are shared out among the crawls that have something to tell, so that none has to wait for another's slow receiver.
local under_way, places, crawls = {}, limit, redis.call('ZCOUNT', due_of('tell'), '-inf', seconds(now))
for at = 9, #ARGV, 2 do
  under_way[ARGV[at]] = tonumber(ARGV[at + 1])
  places = places + under_way[ARGV[at]]
  if tonumber(redis.call('ZSCORE', due_of('tell'), ARGV[at]) or now + 1) > now then crawls = crawls + 1 end
end
share = math.min(share, math.max(1, math.floor(places / math.max(1, crawls))))
local taken, more = {}, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due_of('tell'), '-inf', seconds(now), 'LIMIT', 0, LOOKED_AT)) do
  if limit <= 0 or bytes <= 0 then
    -- Who is not served now keeps its place before those who were.
    more = 1
    break
  end
  local tell, telling = of('tell', id), of('telling', id)
  redis.call('ZREMRANGEBYSCORE', telling, '-inf', seconds(now))
  local most = math.min(limit, share - (under_way[id] or 0), per_crawl - redis.call('ZCARD', telling))
  local state = redis.call('HGET', record_of(id), 'state')
  if state == 'completed' or state == 'failed' or state == 'cancelled' then change_state(id, state, 'in delivery') end
  if most > 0 then
    for _, number in ipairs(redis.call('ZRANGEBYSCORE', tell, '-inf', seconds(now), 'LIMIT', 0, most)) do
      redis.call('ZADD', tell, ends, number)
      redis.call('ZADD', telling, ends, number)
      local event = redis.call('HGET', of('events', id), number) or ''
      taken[#taken + 1] = {id, number, event, redis.call('HGET', of('told', id), number) or '0', ends}
      limit, bytes = limit - 1, bytes - #event
      if bytes <= 0 then break end
    end
    redis.call('EXPIRE', telling, math.ceil(lease) + 1)
  end
  local first = tonumber(redis.call('ZRANGE', tell, 0, 0, 'WITHSCORES')[2])
  if not first then
    redis.call('ZREM', due_of('tell'), id)
  else
    if first <= now then more = 1 end
    place(id, 'tell', math.max(first, now))
  end
end
return {seconds(now), more, unpack(taken)}
