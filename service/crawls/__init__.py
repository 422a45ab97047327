"""Crawls of the service: the order, the frontier of pages, the events that are delivered.

Keys of the ledger, each `longhaul:service:{crawls}:<name>:<crawl id>` unless said otherwise:

    record           hash: state, created, started, ended, delivered (epoch s), run, depth (the present level), cost,
                     events (number of the last one), undelivered (bytes of events), keep (s), outcome (how the run
                     ended), host (of the start page), several_hosts (1: pages of other hosts were found), and where
                     they apply: budget, recurs (the interval), next (epoch s), summary (due | first | written)
    order            what was ordered, JSON

The pages of a run. A URL stands in one of these at a time, and as its digest in `seen`:

    waiting, next    lists: pages of the present level, and of the next one
    retry            sorted set: URL -> when it is tried again
    claimed          sorted set: URL -> end of its lease, which is its fence as well: no later lease ends as early
    completed, failed  lists: the summary's entries, JSON
    tries            hash: URL -> attempts, first attempt (epoch s), lost leases
    seen             set: digests of all URLs
    redirected       hash: digest of a URL that a redirect led to -> depth
    slots:<host>     sorted set: slot of a round -> when it expires
    host_backoff:<host>  hash: until (epoch s), times

The events of a run:

    outbox           sorted set: number, or `summary` -> when it is due, or the end of its lease
    delivering       sorted set: those of them that are under a lease
    events           hash: number -> JSON
    delivery_tries   hash: number -> attempts
"""
