-- Take events to be told, under a lease that ends by itself.
-- ARGV: now, limit, lease (s), life (s) of the round's token, unless it asks again, events of one crawl at once in this round, bytes that are enough, token of the round or '',
--       (id, events of it that this round has under way)*
-- Returns {now, 1 if there is more to take, {id, number, event or '', tries}, ...}. Number `summary`: the event is the caller's to write.
local now, limit, lease, life = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local share, bytes, token = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local ends = seconds(now + lease)
if token ~= '' then
  redis.call('ZADD', space .. ':working:tell', seconds(now + life), token)
  redis.call('ZREM', space .. ':started:tell', token)
end
local LOOKED_AT = 64
local under_way = {}
for at = 8, #ARGV, 2 do under_way[ARGV[at]] = tonumber(ARGV[at + 1]) end
local taken, more = {}, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due_of('tell'), '-inf', seconds(now), 'LIMIT', 0, LOOKED_AT)) do
  local tell = of('tell', id)
  local most = math.min(limit, share - (under_way[id] or 0))
  local state = redis.call('HGET', record_of(id), 'state')
  if state == 'completed' or state == 'failed' or state == 'cancelled' then change_state(id, state, 'in delivery') end
  if most > 0 and bytes > 0 then
    for _, number in ipairs(redis.call('ZRANGEBYSCORE', tell, '-inf', seconds(now), 'LIMIT', 0, most)) do
      redis.call('ZADD', tell, ends, number)
      local event = redis.call('HGET', of('events', id), number) or ''
      taken[#taken + 1] = {id, number, event, redis.call('HGET', of('told', id), number) or '0'}
      limit, bytes = limit - 1, bytes - #event
      if bytes <= 0 then break end
    end
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
