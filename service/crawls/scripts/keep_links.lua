-- Keep links of a page that is still claimed; for pages with many, some at a time, before the page is settled.
-- USES: crawl
-- ARGS: id, url
--       ends                       of the page's lease
--       links[]
-- KEYS: record, claimed, seen, next
-- RETURNS: 'kept', or 'stale' where the caller does not have the page any more
if not is_holder(id, url, ends) then return 'stale' end
keep_links(id, links)
return 'kept'
