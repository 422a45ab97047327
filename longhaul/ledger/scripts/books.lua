-- Everything that the balance needs, seen at one moment.
-- ARGV: now
-- Returns {now, {counter, value, ...}, {lane, open, due, oldest due, paused until, reason}, ...}.
local now = clock(ARGV[1])
local page = {seconds(now), redis.call('HGETALL', space .. ':books')}
for _, lane in ipairs(redis.call('SMEMBERS', space .. ':lanes')) do
  local due = due_of(lane)
  local pause = redis.call('HMGET', space .. ':pause:' .. lane, 'until', 'reason')
  local oldest = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  page[#page + 1] = {lane, redis.call('ZCARD', due), redis.call('ZCOUNT', due, '-inf', seconds(now)), oldest[2] or '', pause[1] or '', pause[2] or ''}
end
return page
