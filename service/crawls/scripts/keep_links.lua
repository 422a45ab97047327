-- Links of a page that is still taken; for pages with many, some at a time, before they are settled.
-- ARGV: now, id, url, end of lease, links ...
-- Returns 'kept', or 'stale' where the page is not the caller's any more.
if not is_holder(ARGV[2], ARGV[3], ARGV[4]) then return 'stale' end
keep_links(ARGV[2], 5)
return 'kept'
