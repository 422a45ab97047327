-- Say how many rounds to start: as many as there is work and room for. Each gets a token, which is given up for lost
-- when its life is over.
-- USES: batches
-- ARGS: now
--       step                       'crawl' or 'deliver'
--       size:number                pieces of work of a round
--       bound:number               pieces that one crawl can have under way at once
--       share:number               how many of these one round can have
--       most:number                rounds at once in all processes
--       life:number                seconds of a token
-- KEYS: due, started, working, serial, waiting, retry, claimed, outbox
-- RETURNS: the tokens
local EXAMINED = 500
drop_lost_batches(step, now)
local all, widest = 0, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('due', step), '-inf', seconds(now), 'LIMIT', 0, EXAMINED)) do
  local open
  if step == 'crawl' then
    open = redis.call('LLEN', key('waiting', id)) + redis.call('ZCOUNT', key('retry', id), '-inf', seconds(now))
      + redis.call('ZCOUNT', key('claimed', id), '-inf', seconds(now))
  else
    open = redis.call('ZCOUNT', key('outbox', id), '-inf', seconds(now))
  end
  open = math.min(open, bound)
  all, widest = all + open, math.max(widest, open)
end
local wanted = math.min(most, math.max(math.ceil(all / size), math.ceil(widest / share)))
local started, working = redis.call('ZCARD', key('started', step)), redis.call('ZCARD', key('working', step))
local tokens = {}
for _ = 1, wanted - started - working do
  tokens[#tokens + 1] = start_batch(step, step, now + life)
end
return tokens
