-- The end of one run of a recurring crawl: its envelope, and a clean page for the next.
-- ARGV: now, id, fence, pages as the envelope says, stream, envelope, lane of looks, due, keep (s), number of the next run
-- Returns 'moved', or why not: 'missing', 'ended', 'stale'.
local now, id, fence = clock(ARGV[1]), ARGV[2], ARGV[3]
local from, lane = guarded(id, fence, 'running')
if not from then return lane end
local record = record_of(id)
if (redis.call('HGET', record, 'pages') or '0') ~= ARGV[4] then return 'stale' end
redis.call('XADD', ARGV[5], '*', 'envelope', ARGV[6])
redis.call('HINCRBY', space .. ':books', 'runs', 1)
redis.call('HDEL', record, 'pages', 'bad', 'credits', 'progress', 'idle', 'summary', 'told', 'expected', 'lease')
redis.call('HSET', record, 'turned', seconds(now), 'run', ARGV[10])
redis.call('HINCRBY', record, 'fence', 1)
local seen, former = space .. ':seen:' .. id, space .. ':former:' .. id
redis.call('DEL', former)
if redis.call('EXISTS', seen) == 1 then
  redis.call('RENAME', seen, former)
  redis.call('EXPIRE', former, ARGV[9])
end
-- Cancelled meanwhile: it stays in the lane of the cancelled, due as it is.
if lane == ARGV[7] then place(id, lane, tonumber(ARGV[8])) end
return 'moved'
