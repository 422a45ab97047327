-- Say how many batches to start: as many as there is due work for and room for. Each gets a token, which is given up
-- for lost after its lease.
-- USES: batches, rate_limit
-- ARGS: now, step
--       size:number                records of a batch
--       most:number                batches at once in all processes
--       lease:number               seconds
--       lanes...(lane, own_size:number, per_second:number, batches:number, account, rivals[])  0: no such limit
-- KEYS: due, pause, started, working, serial, ticked, rate
-- RETURNS: {lane, token, lane, token, ...}
redis.call('SET', key('ticked'), seconds(now))
drop_lost_batches(step, now)
-- A batch that has started but not claimed yet will take some of the work that is due now; one that works has taken its
-- share.
local waiting = redis.call('ZRANGE', key('started', step), 0, -1)
local at_work = redis.call('ZRANGE', key('working', step), 0, -1)
local expected, busy = count_by_lane(waiting), count_by_lane(at_work)
local room, answer = most - #waiting - #at_work, {}
for lane, own_size, per_second, batches, account, rivals in lanes do
  local resumes = redis.call('HGET', key('pause', lane), 'until')
  local due = redis.call('ZCOUNT', key('due', lane), '-inf', seconds(now))
  if per_second > 0 then due = math.min(due, (rate_limit(account, per_second, now, lane, rivals))) end
  local wanted = math.ceil(due / (own_size > 0 and math.min(own_size, size) or size))
  if batches > 0 then wanted = math.min(wanted, batches - (busy[lane] or 0)) end
  if resumes then wanted = now < tonumber(resumes) and 0 or math.min(wanted, 1) end
  -- However busy the others are: a lane that has nothing under way gets one.
  local free = math.max(room, (expected[lane] or busy[lane]) and 0 or 1)
  for _ = 1, math.min(wanted - (expected[lane] or 0), free) do
    answer[#answer + 1] = lane
    answer[#answer + 1] = start_batch(step, lane, now + lease)
    room = room - 1
  end
end
return answer
