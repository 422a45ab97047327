-- How many rounds to start: as many as there is work and room for. Each gets a token that is given up for lost when its life is over.
-- ARGV: now, step ('crawl' or 'tell'), size of a round, what one crawl can have under way at once, a round's share of that, most rounds,
--       life (s) of a token
-- Returns tokens.
local now, step, size, bound, share = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local most, life = tonumber(ARGV[6]), tonumber(ARGV[7])
local LOOKED_AT = 500
local started, working = space .. ':started:' .. step, space .. ':working:' .. step
redis.call('ZREMRANGEBYSCORE', started, '-inf', seconds(now))
redis.call('ZREMRANGEBYSCORE', working, '-inf', seconds(now))
local all, widest = 0, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due_of(step), '-inf', seconds(now), 'LIMIT', 0, LOOKED_AT)) do
  local open
  if step == 'crawl' then
    open = redis.call('LLEN', of('wait', id)) + redis.call('ZCOUNT', of('again', id), '-inf', seconds(now))
      + redis.call('ZCOUNT', of('taken', id), '-inf', seconds(now))
  else
    open = redis.call('ZCOUNT', of('tell', id), '-inf', seconds(now))
  end
  open = math.min(open, bound)
  all, widest = all + open, math.max(widest, open)
end
local wanted = math.min(most, math.max(math.ceil(all / size), math.ceil(widest / share)))
local tokens = {}
for _ = 1, wanted - redis.call('ZCARD', started) - redis.call('ZCARD', working) do
  local token = step .. '#' .. redis.call('INCR', space .. ':serial')
  redis.call('ZADD', started, seconds(now + life), token)
  tokens[#tokens + 1] = token
end
return tokens
