-- Read everything that the balance needs, seen at one moment.
-- ARGS: now
-- KEYS: books, lanes, due, pause
-- RETURNS: {now, {counter, value, ...}, {lane, open, due, oldest due, paused until, reason}, ...}
local page = {seconds(now), redis.call('HGETALL', key('books'))}
for _, lane in ipairs(redis.call('SMEMBERS', key('lanes'))) do
  local due = key('due', lane)
  local pause = redis.call('HMGET', key('pause', lane), 'until', 'reason')
  local oldest = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or ''
  local open, ripe = redis.call('ZCARD', due), redis.call('ZCOUNT', due, '-inf', seconds(now))
  page[#page + 1] = {lane, open, ripe, oldest, pause[1] or '', pause[2] or ''}
end
return page
