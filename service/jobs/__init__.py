"""Scrape jobs of the service: submitted, fetched, read once, delivered.

`<space>:record:<id>` is a hash: state, lane, fence, created (epoch s), url, attempts, and where they apply: next
(epoch s), meta (JSON), callback, report (1), faults, reason, deliveries, retrieved (epoch s). The space has these keys
beside the ledger's:

    <space>:request:<id>   a blob: what to fetch, JSON, until the run ends
    <space>:result:<id>    the contract's `response`, JSON, until it is retrieved or expires
"""
