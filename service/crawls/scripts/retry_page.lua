-- Give a claimed page back, to be tried again later; its host may want no requests until then.
-- USES: crawl, host_backoff
-- ARGS: now, id, url
--       ends                       of the page's lease
--       at:number                  when it is tried again
--       attempts?                  so far; none: this was none
--       first, lost                when the first attempt was, and how many leases were lost
--       backoff_until:number?      until when its host wants no requests; 0: for longer than before
-- KEYS: record, due, lanes, books, order, seen, redirected, tries, waiting, next, retry, claimed, completed, failed,
--       outbox, events, delivery_tries, host_backoff
-- RETURNS: 'retried', or 'stale' where the caller does not have the page any more
if not is_holder(id, url, ends) then return 'stale' end
redis.call('ZADD', key('retry', id), seconds(at), url)
if attempts then redis.call('HSET', key('tries', id), url, table.concat({attempts, first, lost}, ' ')) end
redis.call('ZREM', key('claimed', id), url)
if backoff_until then back_off(host_of(url), backoff_until, now) end
-- Its place is free now, which may be what other pages wait for, or the last thing that the end waited for.
if advance(id, now) ~= 'ended' then due_by('crawl', id, now) end
return 'retried'
