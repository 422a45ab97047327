-- Pages of a crawl, each once: into the results queue, and counted. Where one cannot be written, those before it are there, and counted; told
-- again they are seen.
-- ARGV: now, id, remote id, lane of looks, lane of the cancelled, first look (s), grace (s), stream,
--       (page's key, run that the envelope says, 1 if the remote has said that run, envelope, 1 if the page failed, credits)*
-- Returns for each 'taken', 'complete' (and it was the last that the summary tells of), 'seen', 'dropped', 'missing', 'foreign', 'ahead', or
-- 'turned' (the envelope's run is over).
local now, id, grace, stream = clock(ARGV[1]), ARGV[2], tonumber(ARGV[7]), ARGV[8]
local unknown = met(id, ARGV[3], now, ARGV[4], ARGV[5], tonumber(ARGV[6]))
local record, seen, former = record_of(id), space .. ':seen:' .. id, space .. ':former:' .. id
local found = redis.call('HMGET', record, 'state', 'run', 'turned', 'expected', 'lane', 'pages')
local open = TRANSITIONS[(found[1] or '') .. '>']
local present, turned = tonumber(found[2] or 1), tonumber(found[3] or 0)
local expected, before = tonumber(found[4] or math.huge), tonumber(found[6] or 0)

local counted, all = {pages = 0, bad = 0, credits = 0, late = 0, dropped = 0}, 0
local function count(name, by) counted[name] = counted[name] + by end

local function take(key, run, stated, envelope, failed, credits)
  if unknown then return unknown end
  if found[1] == 'cancelled' then
    count('dropped', 1)
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
  local written = redis.pcall('XADD', stream, '*', 'envelope', envelope)
  if written.err then return written end
  redis.call('SADD', taken, key)
  all = all + 1
  if not open or run < present then
    -- After the envelope of its crawl, or of its run: that one's counts stand.
    count('late', 1)
    local left = redis.call('PTTL', record)
    if left > 0 then redis.call('PEXPIRE', taken, left) end
    return 'taken'
  end
  count('pages', 1)
  if failed then count('bad', 1) end
  count('credits', tonumber(credits))
  if before + counted.pages < expected then return 'taken' end
  -- The caller ends it; where he dies first, the next look does.
  if found[5] == ARGV[4] then place(id, ARGV[4], now) end
  return 'complete'
end

local became = {}
for at = 9, #ARGV, 6 do
  local one = take(ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2] == '1', ARGV[at + 3], ARGV[at + 4] == '1', ARGV[at + 5])
  became[#became + 1] = one
  if type(one) == 'table' then break end
end
if all > 0 then redis.call('HINCRBY', space .. ':books', 'pages', all) end
for name, by in pairs(counted) do
  if by > 0 then redis.call('HINCRBY', record, name, by) end
end
if counted.pages > 0 then redis.call('HDEL', record, 'idle') end
local last = became[#became]
return type(last) == 'table' and last or became
