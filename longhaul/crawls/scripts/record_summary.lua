-- Record the remote's own summary of a crawl, or of one of its runs. The record's next action is then the end of the
-- grace time instead of a poll.
-- USES: sender
-- ARGS: now, id, remote_id, poll_lane, cancelled_lane
--       first_poll:number          seconds until the first poll
--       grace:number               seconds for which pages are waited for
--       run:number?                as the remote has said
--       summary                    JSON
--       expected:number            pages that the summary counts
-- KEYS: record, due, lanes, books
-- RETURNS: 'noted', 'complete' (all of its pages are there), 'seen', 'missing', 'foreign', or 'ahead' (of the crawl's
--          run)
local unknown = check_sender(id, remote_id, now, poll_lane, cancelled_lane, first_poll)
if unknown then return unknown end
local record = key('record', id)
local found = redis.call('HMGET', record, 'state', 'run', 'summary', 'pages', 'lane', 'run_ended')
local present = tonumber(found[2] or 1)
if run and run > present then return 'ahead' end
if found[3] or not TRANSITIONS[found[1] .. '>'] or (run and run < present) then return 'seen' end
-- A recurring crawl's run that has just begun has no summary yet: this is the previous one's, sent once more.
if not run and found[6] and not found[4] and now < tonumber(found[6]) + math.min(grace, REPEATS) then return 'seen' end
redis.call('HSET', record, 'summary', summary, 'summary_at', seconds(now), 'expected', expected)
local complete = tonumber(found[4] or 0) >= expected
if found[5] == poll_lane then
  -- A worker that is polling at this moment is fenced off: there is nothing left to poll for.
  redis.call('HINCRBY', record, 'fence', 1)
  redis.call('HDEL', record, 'lease')
  place(id, poll_lane, complete and now or now + grace)
end
return complete and 'complete' or 'noted'
