-- Pages of a crawl, each once: into the results queue, and counted. Each is whole before the next begins: where memory runs out, those before
-- are there, and told again they are seen.
-- ARGV: now, id, remote id, lane of looks, lane of the cancelled, first look (s), grace (s), stream,
--       (page's key, run that the envelope says, 1 if the remote has said that run, envelope, 1 if the page failed, credits)*
-- Returns for each 'taken', 'complete' (and it was the last that the summary tells of), 'seen', 'dropped', 'missing', 'foreign', 'ahead', or
-- 'turned' (the envelope's run is over).
local now, id, grace, stream = clock(ARGV[1]), ARGV[2], tonumber(ARGV[7]), ARGV[8]
local unknown = met(id, ARGV[3], now, ARGV[4], ARGV[5], tonumber(ARGV[6]))
local record, seen, former = record_of(id), space .. ':seen:' .. id, space .. ':former:' .. id
local found = redis.call('HMGET', record, 'state', 'run', 'turned', 'expected', 'lane')
local open = TRANSITIONS[(found[1] or '') .. '>']
local present, turned, expected = tonumber(found[2] or 1), tonumber(found[3] or 0), tonumber(found[4] or math.huge)

local function take(key, run, stated, envelope, failed, credits)
  if unknown then return unknown end
  if found[1] == 'cancelled' then
    redis.call('HINCRBY', record, 'dropped', 1)
    return 'dropped'
  end
  if run > present then return 'ahead' end
  local taken = seen
  if run < present then
    if not stated then return 'turned' end
    taken = former
  elseif not stated and now < turned + math.min(grace, REPEATS) and redis.call('SISMEMBER', former, key) == 1 then
    -- Told once more while the run that it belongs to has only just ended.
    return 'seen'
  end
  if redis.call('SISMEMBER', taken, key) == 1 then return 'seen' end
  -- First of all writes: where memory is out, this one is refused and nothing has happened.
  redis.call('XADD', stream, '*', 'envelope', envelope)
  redis.call('SADD', taken, key)
  redis.call('HINCRBY', space .. ':books', 'pages', 1)
  if not open or run < present then
    -- After the envelope of its crawl, or of its run: that one's counts stand.
    redis.call('HINCRBY', record, 'late', 1)
    local left = redis.call('PTTL', record)
    if left > 0 then redis.call('PEXPIRE', taken, left) end
    return 'taken'
  end
  local pages = redis.call('HINCRBY', record, 'pages', 1)
  if failed then redis.call('HINCRBY', record, 'bad', 1) end
  redis.call('HINCRBY', record, 'credits', credits)
  redis.call('HDEL', record, 'idle')
  if pages < expected then return 'taken' end
  -- The caller ends it; where he dies first, the next look does.
  if found[5] == ARGV[4] then place(id, ARGV[4], now) end
  return 'complete'
end

local became = {}
for at = 9, #ARGV, 6 do
  became[#became + 1] = take(ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2] == '1', ARGV[at + 3], ARGV[at + 4] == '1', ARGV[at + 5])
end
return became
