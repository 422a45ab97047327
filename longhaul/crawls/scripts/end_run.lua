-- End one run of a recurring crawl: write its envelope, and make the record ready for the next run.
-- USES: states
-- ARGS: now, id, fence
--       pages                      as the envelope counts them
--       stream, envelope           the results queue, and what goes into it
--       poll_lane
--       due:number                 when the next run is polled first
--       keep:number                seconds for which the pages of this run are remembered
--       next_run                   its number
-- KEYS: record, due, lanes, books, seen, previous; from ARGS: stream
-- RETURNS: 'moved', or why not: 'missing', 'ended', 'stale'
local from, lane = guarded(id, fence, 'running')
if not from then return lane end
local record, seen, previous = key('record', id), key('seen', id), key('previous', id)
if (redis.call('HGET', record, 'pages') or '0') ~= pages then return 'stale' end
redis.call('XADD', stream, '*', 'envelope', envelope)
redis.call('HINCRBY', key('books'), 'runs', 1)
redis.call(
  'HDEL', record, 'pages', 'failed', 'credits', 'progress', 'idle', 'summary', 'summary_at', 'expected', 'lease'
)
redis.call('HSET', record, 'run_ended', seconds(now), 'run', next_run)
redis.call('HINCRBY', record, 'fence', 1)
redis.call('DEL', previous)
if redis.call('EXISTS', seen) == 1 then
  redis.call('RENAME', seen, previous)
  redis.call('EXPIRE', previous, keep)
end
-- Cancelled meanwhile: it stays in the lane of the cancelled, due as it is.
if lane == poll_lane then place(id, lane, due) end
return 'moved'
