-- One page of a crawl, once: into the results queue, and counted.
-- ARGV: now, id, remote id, lane of looks, lane of the cancelled, first look (s), grace (s), page's key, run that the envelope says,
--       1 if the remote has said that run, stream, envelope, 1 if the page failed, credits
-- Returns 'taken', 'complete' (and it was the last that the summary tells of), 'seen', 'dropped', 'missing', 'foreign', 'ahead', or
-- 'turned' (the envelope's run is over).
local now, id, grace, key, run, stated = clock(ARGV[1]), ARGV[2], tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9]), ARGV[10] == '1'
local unknown = met(id, ARGV[3], now, ARGV[4], ARGV[5], tonumber(ARGV[6]))
if unknown then return unknown end
local record = record_of(id)
local found = redis.call('HMGET', record, 'state', 'run', 'turned', 'expected', 'lane')
local open = TRANSITIONS[found[1] .. '>']
if found[1] == 'cancelled' then
  redis.call('HINCRBY', record, 'dropped', 1)
  return 'dropped'
end
local present = tonumber(found[2] or 1)
local seen, former = space .. ':seen:' .. id, space .. ':former:' .. id
if run > present then return 'ahead' end
if run < present then
  if not stated then return 'turned' end
  seen = former
elseif not stated and found[3] and now < tonumber(found[3]) + grace and redis.call('SISMEMBER', former, key) == 1 then
  -- Told once more while the run that it belongs to has only just ended.
  return 'seen'
end
if redis.call('SISMEMBER', seen, key) == 1 then return 'seen' end
-- First of all writes: where memory is out, this one is refused and nothing has happened.
redis.call('XADD', ARGV[11], '*', 'envelope', ARGV[12])
redis.call('SADD', seen, key)
redis.call('HINCRBY', space .. ':books', 'pages', 1)
if not open or run < present then
  -- After the envelope of its crawl, or of its run: that one's counts stand.
  redis.call('HINCRBY', record, 'late', 1)
  local left = redis.call('PTTL', record)
  if left > 0 then redis.call('PEXPIRE', seen, left) end
  return 'taken'
end
local pages = redis.call('HINCRBY', record, 'pages', 1)
if ARGV[13] == '1' then redis.call('HINCRBY', record, 'bad', 1) end
redis.call('HINCRBY', record, 'credits', ARGV[14])
redis.call('HDEL', record, 'idle')
if not found[4] or pages < tonumber(found[4]) then return 'taken' end
-- The caller ends it; where he dies first, the next look does.
if found[5] == ARGV[4] then place(id, ARGV[4], now) end
return 'complete'
