-- Claim due records of a lane, oldest first, under a lease that ends by itself: the due time of a record moves to the
-- end of its lease before anything can go wrong, and its fence grows, so that a writer with the old fence is rejected.
-- USES: batches, rate_limit
-- ARGS: now, lane, limit:number
--       lease:number               seconds
--       counted?                   the field to count up in each record
--       cancelled_lane?            where cancelled records go
--       step, token?               of the batch
--       deadline:number            seconds of age from which a pause holds a record back no longer
--       high_entries:number        entries from which a results queue is full; 0: never
--       high_bytes:number          bytes from which it is
--       queues                     what the key of a results queue begins with
--       put_off:number             seconds for which a full queue puts a record off
--       guaranteed:number          seconds for which the remote keeps a result at least
--       headroom:number            seconds before that, or the deadline, in which a full queue does not count
--       version:number             of the records that the caller can read
--       per_second:number          requests of the account; 0: no limit
--       batches:number             most batches of the lane at once; 0: no limit
--       account                    whose rate limit it is
--       rivals[]                   the account's other lanes
--       blobs[]                    families of the strings to return with each record
-- KEYS: record, due, lanes, pause, started, working, rate; from ARGS: queues, blobs
-- RETURNS: {now, pauses in a row, 1 if there is more to claim or to scan, 1 if this is a probe,
--          {id of a newer version, ...}, {id, {field, value, ...}, blob, ...}, ...}
local due, pause_key = key('due', lane), key('pause', lane)

if token then enter_batch(step, token, now + lease) end

local SCAN_PAUSE = 600
local pause = redis.call('HMGET', pause_key, 'until', 'count', 'scanned', 'next_scan')

-- The account's limits. A batch that meets them leaves the rest to the next tick.
local limited, spend = false, nil
if per_second > 0 then
  local allowed
  allowed, spend = rate_limit(account, per_second, now, lane, rivals)
  if allowed < limit then limit, limited = allowed, true end
end
if batches > 0 then
  local working = key('working', step)
  local own = token and redis.call('ZSCORE', working, token) and 1 or 0
  local counts = count_by_lane(redis.call('ZRANGE', working, 0, -1))
  if (counts[lane] or 0) - own >= batches then
    limit, limited = 0, true
    if token then redis.call('ZREM', working, token) end
  end
end
if limited and limit == 0 then return {seconds(now), tonumber(pause[2] or 0), 0, 0, {}} end

local paused = pause[1] and now < tonumber(pause[1])
local probing = pause[1] and not paused
if probing then
  -- The pause is over: one record goes ahead as a probe, the others wait for what it meets.
  redis.call('HSET', pause_key, 'until', seconds(now + lease))
  limit = 1
end

-- Back-pressure: a full results queue leaves bodies with the remote, except those that the remote may soon delete.
local full = {}
local function is_full(queue)
  if high_entries == 0 or not queue then return false end
  if full[queue] == nil then
    local length = redis.pcall('XLEN', queues .. queue)
    -- A key that is no stream takes no envelope: as good as full.
    full[queue] = type(length) == 'table' or length >= high_entries
      or (tonumber(redis.call('MEMORY', 'USAGE', queues .. queue) or 0) or 0) >= high_bytes
  end
  return full[queue]
end

local newer = {}
local claimed = {seconds(now), tonumber(pause[2] or 0), 0, probing and 1 or 0, newer}
local examined, skipped, most = 0, 0, 10 * limit
-- A paused lane is scanned claim by claim, for what has reached its deadline may stand behind any number of others. At
-- its end the scan pauses.
local scanning = paused and now >= tonumber(pause[4] or 0)
local ended = not scanning
if scanning then skipped = tonumber(pause[3] or 0) elseif paused then limit = 0 end
while limit > 0 and examined < most do
  local ids = redis.call('ZRANGEBYSCORE', due, '-inf', seconds(now), 'LIMIT', skipped, limit)
  if #ids == 0 then
    ended = true
    break
  end
  for _, id in ipairs(ids) do
    examined = examined + 1
    local record = key('record', id)
    -- What is no hash, or has no numbers where they should be, must not keep the others from being claimed.
    local found = redis.pcall('HMGET', record, 'state', 'queue', 'created', 'polled', 'cancel', 'sent', 'v')
    local ends = (tonumber(found[3] or 0) or 0) + deadline
    -- Not finished at its last poll, or when it was sent: the remote keeps it for `guaranteed` from there at least.
    local seen = tonumber(found[4]) or tonumber(found[6]) or now
    local urgent = math.min(ends, seen + guaranteed) - headroom
    if found.err then
      place(id, lane, now + lease)
    elseif not found[1] then
      redis.call('ZREM', due, id)
    elseif (tonumber(found[7]) or 0) > version then
      -- Whatever it says, and whether it is still this lane's: it waits for a worker that can read it.
      place(id, lane, now + lease)
      newer[#newer + 1] = id
    elseif found[5] and cancelled_lane then
      -- Its claimant died before it could see the cancellation.
      redis.call('ZREM', due, id)
      redis.call('HSET', record, 'lane', cancelled_lane)
      place(id, cancelled_lane, now)
    elseif paused and now < ends then
      skipped = skipped + 1
    elseif now < urgent and is_full(found[2]) then
      place(id, lane, math.min(now + put_off, urgent))
    else
      place(id, lane, now + lease)
      redis.call('HSET', record, 'lease', seconds(now + lease))
      local grown = redis.pcall('HINCRBY', record, 'fence', 1)
      -- A fence that is no number is replaced by one that no worker has ever had.
      if type(grown) == 'table' then redis.call('HSET', record, 'fence', string.format('%.0f', now * 1000)) end
      if counted then redis.pcall('HINCRBY', record, counted, 1) end
      local row = {id, redis.call('HGETALL', record)}
      for _, blob in ipairs(blobs) do
        local text = redis.pcall('GET', key(blob, id))
        row[#row + 1] = type(text) == 'string' and text or ''
      end
      claimed[#claimed + 1] = row
      limit = limit - 1
    end
  end
end
if scanning and ended then redis.call('HSET', pause_key, 'scanned', 0, 'next_scan', seconds(now + SCAN_PAUSE)) end
if scanning and not ended then
  redis.call('HSET', pause_key, 'scanned', skipped)
  claimed[3] = 1
end
if not pause[1] and #redis.call('ZRANGEBYSCORE', due, '-inf', seconds(now), 'LIMIT', 0, 1) > 0 then claimed[3] = 1 end
if spend then spend(#claimed - 5) end
if limited then claimed[3] = 0 end
return claimed
