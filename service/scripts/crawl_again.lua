-- A taken page is tried again later; its host may want to be left alone until then, by every round.
-- ARGV: now, id, url, end of lease, token, when, attempts so far, first attempt (s), lost leases, the host rests until ('' = it does not)
-- Returns 'again', or 'stale' where the page is not the caller's any more.
local now, id, url, token = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[5]
if not is_holder(id, url, ARGV[4]) then
  leave_host(id, url, token)
  return 'stale'
end
redis.call('HSET', of('tries', id), url, table.concat({ARGV[7], ARGV[8], ARGV[9]}, ' '))
redis.call('ZADD', of('again', id), ARGV[6], url)
redis.call('ZREM', of('taken', id), url)
leave_host(id, url, token)
if ARGV[10] ~= '' then
  local key = of('rest', host_of(url))
  if tonumber(redis.call('GET', key) or 0) < tonumber(ARGV[10]) then
    redis.call('SET', key, ARGV[10], 'PX', math.max(1, math.ceil((ARGV[10] - now) * 1000)))
  end
end
-- A reservation has become free, which may be what others wait for, or the last thing that the end waited for.
if advance(id, now) ~= 'ended' then due_by('crawl', id, now) end
return 'again'
