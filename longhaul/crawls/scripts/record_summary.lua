-- The remote's own summary of a crawl, or of one of its runs. The record's next action is then no look but the end of the grace time.
-- ARGV: now, id, remote id, lane of looks, lane of the cancelled, first look (s), grace (s), run that the remote says or '', summary (JSON),
--       pages that it tells of
-- Returns 'noted', 'complete' (every page of it is there), 'seen', 'missing', 'foreign', or 'ahead'.
local now, id, lane, grace, expected = clock(ARGV[1]), ARGV[2], ARGV[4], tonumber(ARGV[7]), tonumber(ARGV[10])
local unknown = met(id, ARGV[3], now, lane, ARGV[5], tonumber(ARGV[6]))
if unknown then return unknown end
local record = record_of(id)
local found = redis.call('HMGET', record, 'state', 'run', 'summary', 'pages', 'lane', 'turned')
local present = tonumber(found[2] or 1)
local run = tonumber(ARGV[8])
if run and run > present then return 'ahead' end
if found[3] or not TRANSITIONS[found[1] .. '>'] or (run and run < present) then return 'seen' end
-- A recurring crawl's run that has just begun has no summary yet: this is the former one's, told once more.
if not run and found[6] and not found[4] and now < tonumber(found[6]) + math.min(grace, REPEATS) then return 'seen' end
redis.call('HSET', record, 'summary', ARGV[9], 'told', seconds(now), 'expected', expected)
local complete = tonumber(found[4] or 0) >= expected
if found[5] == lane then
  -- Whoever is looking at this moment is fenced off: there is nothing left to look at.
  redis.call('HINCRBY', record, 'fence', 1)
  redis.call('HDEL', record, 'lease')
  place(id, lane, complete and now or now + grace)
end
return complete and 'complete' or 'noted'
