-- Take due work, oldest first, under a lease that ends by itself: its due time moves to the lease's end before anything can go wrong,
-- and its fence grows, so that a writer who comes after the lease is known.
-- ARGV: now, lane, limit, lease (s), field to count up or '', lane of cancelled records or '', step, batch token, deadline (s of age),
--       high water (entries), high water (bytes), prefix of the results queues, put off (s), guaranteed (s), headroom (s), version of records,
--       requests a second or 0, most batches of this lane at once or 0, who is limited so, count of rival lanes, their names, names of blobs ...
-- Returns {now, pauses so far, 1 if there is more to claim or to walk through, 1 if this is a probe, {id of a newer version, ...},
--          {id, {field, value, ...}, blob, ...}, ...}.
--[[INCLUDE allowance]]
local now, lane, limit, lease = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local counted, cancelled_lane, step, token, deadline = ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local high_entries, high_bytes, queues = tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]
local put_off, guaranteed, headroom = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local version, per_second, batches, rivals = tonumber(ARGV[16]), tonumber(ARGV[17]), tonumber(ARGV[18]), {}
for at = 21, 20 + tonumber(ARGV[20]) do rivals[#rivals + 1] = ARGV[at] end
local due = due_of(lane)

if token ~= '' then
  -- First of all writes: where memory is out, this one is refused and nothing is claimed whose end would be refused.
  redis.call('ZADD', space .. ':working:' .. step, seconds(now + lease), token)
  redis.call('ZREM', space .. ':started:' .. step, token)
end

local REST = 600
local pause = redis.call('HMGET', space .. ':pause:' .. lane, 'until', 'count', 'walked', 'rests')

-- The account's limits. Whoever meets them leaves the rest to the next tick.
local cut, take = false, nil
if per_second > 0 then
  local allowed
  allowed, take = allowance(ARGV[19], per_second, now, lane, rivals)
  if allowed < limit then limit, cut = allowed, true end
end
if batches > 0 then
  local working = space .. ':working:' .. step
  local own = token ~= '' and redis.call('ZSCORE', working, token) and 1 or 0
  if count_lane(working, lane) - own >= batches then
    limit, cut = 0, true
    redis.call('ZREM', working, token)
  end
end
if cut and limit == 0 then return {seconds(now), tonumber(pause[2] or 0), 0, 0, {}} end

local paused = pause[1] and now < tonumber(pause[1])
local probing = pause[1] and not paused
if probing then
  -- The pause is over: one record goes ahead as a probe, the others wait for what it meets.
  redis.call('HSET', space .. ':pause:' .. lane, 'until', seconds(now + lease))
  limit = 1
end

-- Back-pressure: a full results queue leaves bodies with the remote, except those that the remote may soon delete.
local full = {}
local function is_full(queue)
  if high_entries == 0 or not queue then return false end
  if full[queue] == nil then
    local key = queues .. queue
    local length = redis.pcall('XLEN', key)
    -- A key that is no stream takes no envelope: as good as full.
    full[queue] = type(length) == 'table' or length >= high_entries
      or (tonumber(redis.call('MEMORY', 'USAGE', key) or 0) or 0) >= high_bytes
  end
  return full[queue]
end

local newer = {}
local claimed = {seconds(now), tonumber(pause[2] or 0), 0, probing and 1 or 0, newer}
local examined, skipped, most = 0, 0, 10 * limit
-- A paused lane is walked through claim by claim, for what has reached its deadline may stand behind any number of others; then it rests.
local walking = paused and now >= tonumber(pause[4] or 0)
local ended = not walking
if walking then skipped = tonumber(pause[3] or 0) elseif paused then limit = 0 end
while limit > 0 and examined < most do
  local ids = redis.call('ZRANGEBYSCORE', due, '-inf', seconds(now), 'LIMIT', skipped, limit)
  if #ids == 0 then
    ended = true
    break
  end
  for _, id in ipairs(ids) do
    examined = examined + 1
    local record = record_of(id)
    -- What is no hash, or has no numbers where they should be, must not keep the others from being claimed.
    local found = redis.pcall('HMGET', record, 'state', 'queue', 'created', 'looked', 'cancel', 'sent', 'v')
    local ends = (tonumber(found[3] or 0) or 0) + deadline
    -- Not finished when it was last looked at, or when it was sent: kept for `guaranteed` from there at least.
    local seen = tonumber(found[4]) or tonumber(found[6]) or now
    local urgent = math.min(ends, seen + guaranteed) - headroom
    if found.err then
      place(id, lane, now + lease)
    elseif not found[1] then
      redis.call('ZREM', due, id)
    elseif (tonumber(found[7]) or 0) > version then
      -- Whatever it says, and whether it is still this lane's: it waits for a worker that knows.
      place(id, lane, now + lease)
      newer[#newer + 1] = id
    elseif found[5] and cancelled_lane ~= '' then
      -- Its claimant died before it could see the cancellation.
      redis.call('ZREM', due, id)
      redis.call('HSET', record, 'lane', cancelled_lane)
      place(id, cancelled_lane, now)
    elseif paused and now < ends then
      -- A paused lane still lets go of what has reached its deadline.
      skipped = skipped + 1
    elseif now < urgent and is_full(found[2]) then
      place(id, lane, math.min(now + put_off, urgent))
    else
      place(id, lane, now + lease)
      redis.call('HSET', record, 'lease', seconds(now + lease))
      local grown = redis.pcall('HINCRBY', record, 'fence', 1)
      -- A fence that is no number is replaced by one that nobody has ever had.
      if type(grown) == 'table' then redis.call('HSET', record, 'fence', string.format('%.0f', now * 1000)) end
      if counted ~= '' then redis.pcall('HINCRBY', record, counted, 1) end
      local taken = {id, redis.call('HGETALL', record)}
      for blob = 21 + #rivals, #ARGV do
        local text = redis.pcall('GET', space .. ':' .. ARGV[blob] .. ':' .. id)
        taken[#taken + 1] = type(text) == 'string' and text or ''
      end
      claimed[#claimed + 1] = taken
      limit = limit - 1
    end
  end
end
if walking and ended then redis.call('HSET', space .. ':pause:' .. lane, 'walked', 0, 'rests', seconds(now + REST)) end
if walking and not ended then
  redis.call('HSET', space .. ':pause:' .. lane, 'walked', skipped)
  claimed[3] = 1
end
if not pause[1] and #redis.call('ZRANGEBYSCORE', due, '-inf', seconds(now), 'LIMIT', 0, 1) > 0 then claimed[3] = 1 end
if take then take(#claimed - 5) end
if cut then claimed[3] = 0 end
return claimed
