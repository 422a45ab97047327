-- A taken page is tried again later; its host may want to be left alone until then, by every round.
-- ARGV: now, id, url, end of lease, when, attempts so far ('' = this was none), first attempt (s), lost leases, the host rests until ('' = it does not, 0 = for longer than before)
-- Returns 'again', or 'stale' where the page is not the caller's any more.
local now, id, url = clock(ARGV[1]), ARGV[2], ARGV[3]
if not is_holder(id, url, ARGV[4]) then return 'stale' end
redis.call('ZADD', of('again', id), ARGV[5], url)
if ARGV[6] ~= '' then redis.call('HSET', of('tries', id), url, table.concat({ARGV[6], ARGV[7], ARGV[8]}, ' ')) end
redis.call('ZREM', of('taken', id), url)
if ARGV[9] ~= '' then let_rest(host_of(url), tonumber(ARGV[9]), now) end
-- A reservation has become free, which may be what others wait for, or the last thing that the end waited for.
if advance(id, now) ~= 'ended' then due_by('crawl', id, now) end
return 'again'
