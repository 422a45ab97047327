-- How many batches to start: as many as there is due work for and room for. Each gets a token that is given up for lost after its lease.
-- ARGV: now, step, batch size, most batches at once, lease (s), then for each lane: name, batch size or 0, requests a second or 0, most batches of
--       it at once or 0, who is limited so, count of rival lanes, their names
-- Returns {lane, token, lane, token, ...}.
--[[INCLUDE allowance]]
local now, step, size, most, lease = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local started, working = space .. ':started:' .. step, space .. ':working:' .. step
redis.call('SET', space .. ':ticked', seconds(now))
redis.call('ZREMRANGEBYSCORE', started, '-inf', seconds(now))
redis.call('ZREMRANGEBYSCORE', working, '-inf', seconds(now))
local function by_lane(key)
  local tokens, counts = redis.call('ZRANGE', key, 0, -1), {}
  for _, token in ipairs(tokens) do
    local lane = token:match('^(.*)#')
    counts[lane] = (counts[lane] or 0) + 1
  end
  return counts, #tokens
end
-- A batch that has started but not claimed yet will take some of the work that is due now; one that works has taken its share.
local expected, waiting = by_lane(started)
local busy, at_work = by_lane(working)
local room, answer = most - waiting - at_work, {}
local at = 6
local function word()
  at = at + 1
  return ARGV[at - 1]
end
while ARGV[at] do
  local lane, own, per_second, batches, name, rivals = word(), tonumber(word()), tonumber(word()), tonumber(word()), word(), {}
  for _ = 1, tonumber(word()) do rivals[#rivals + 1] = word() end
  local resumes = redis.call('HGET', space .. ':pause:' .. lane, 'until')
  local due = redis.call('ZCOUNT', due_of(lane), '-inf', seconds(now))
  if per_second > 0 then due = math.min(due, (allowance(name, per_second, now, lane, rivals))) end
  local wanted = math.ceil(due / (own > 0 and math.min(own, size) or size))
  if batches > 0 then wanted = math.min(wanted, batches - (busy[lane] or 0)) end
  if resumes then wanted = now < tonumber(resumes) and 0 or math.min(wanted, 1) end
  -- However busy the others are: a lane that has nothing under way gets one.
  local free = math.max(room, (expected[lane] or busy[lane]) and 0 or 1)
  for _ = 1, math.min(wanted - (expected[lane] or 0), free) do
    local token = lane .. '#' .. redis.call('INCR', space .. ':serial')
    redis.call('ZADD', started, seconds(now + lease), token)
    answer[#answer + 1] = lane
    answer[#answer + 1] = token
    room = room - 1
  end
end
return answer
