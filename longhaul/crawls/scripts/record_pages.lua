-- Record pages of a crawl, each once: into the results queue, and counted. Where one cannot be written, those before it
-- are there and counted; sent again, they are 'seen'. `page` identifies a page; `run` stands in the envelope, and
-- `stated` says whether the remote has named it.
-- USES: sender
-- ARGS: now, id, remote_id, poll_lane, cancelled_lane
--       first_poll:number          seconds until the first poll
--       grace:number               seconds for which pages are waited for
--       stream                     the results queue
--       pages...(page, run:number, stated:flag, envelope, failed:flag, credits:number)
-- KEYS: record, due, lanes, books, seen, previous; from ARGS: stream
-- RETURNS: for each page 'taken', 'complete' (and it was the last that the summary counts), 'seen', 'dropped',
--          'missing', 'foreign', 'ahead' (of the crawl's run), or 'run over' (the envelope's run is over)
local unknown = check_sender(id, remote_id, now, poll_lane, cancelled_lane, first_poll)
local record, seen, previous = key('record', id), key('seen', id), key('previous', id)
local found = redis.call('HMGET', record, 'state', 'run', 'run_ended', 'expected', 'lane', 'pages')
local open = TRANSITIONS[(found[1] or '') .. '>']
local present, run_ended = tonumber(found[2] or 1), tonumber(found[3] or 0)
local expected, before = tonumber(found[4] or math.huge), tonumber(found[6] or 0)

local counted, written = {pages = 0, failed = 0, credits = 0, late = 0, dropped = 0}, 0
local function count(name, by) counted[name] = counted[name] + by end

local function take(page, run, stated, envelope, failed, credits)
  if unknown then return unknown end
  if found[1] == 'cancelled' then
    count('dropped', 1)
    return 'dropped'
  end
  if run > present then return 'ahead' end
  local taken = seen
  if run < present then
    if not stated then return 'run over' end
    taken = previous
  elseif not stated and now < run_ended + math.min(grace, REPEATS) and redis.call('SISMEMBER', previous, page) == 1 then
    -- Sent once more while the run that it belongs to has only just ended.
    return 'seen'
  end
  if redis.call('SISMEMBER', taken, page) == 1 then return 'seen' end
  -- Before all other writes: where memory is out, it is refused, and nothing has happened.
  local added = redis.pcall('XADD', stream, '*', 'envelope', envelope)
  if added.err then return added end
  redis.call('SADD', taken, page)
  written = written + 1
  if not open or run < present then
    -- After the envelope of its crawl, or of its run, whose counts stand.
    count('late', 1)
    local left = redis.call('PTTL', record)
    if left > 0 then redis.call('PEXPIRE', taken, left) end
    return 'taken'
  end
  count('pages', 1)
  if failed then count('failed', 1) end
  count('credits', credits)
  if before + counted.pages < expected then return 'taken' end
  -- The caller ends it; where the caller dies first, the next poll does.
  if found[5] == poll_lane then place(id, poll_lane, now) end
  return 'complete'
end

local answer = {}
for page, run, stated, envelope, failed, credits in pages do
  local became = take(page, run, stated, envelope, failed, credits)
  answer[#answer + 1] = became
  if type(became) == 'table' then break end
end
if written > 0 then redis.call('HINCRBY', key('books'), 'pages', written) end
for name, by in pairs(counted) do
  if by > 0 then redis.call('HINCRBY', record, name, by) end
end
if counted.pages > 0 then redis.call('HDEL', record, 'idle') end
local last = answer[#answer]
return type(last) == 'table' and last or answer
