"""Crawls of the service: the order, the frontier of pages, the events that are delivered.

`<space>:record:<id>` is a hash: state, created, started, ended, delivered (epoch s), run, depth (the present level),
cost, events, undelivered (bytes of events), keep (s), outcome (how the run ended), host (of the start page),
several_hosts (1), and where they apply: budget, recurs (the interval), next (epoch s), summary (due | first |
written). Its lanes are crawl, deliver and schedule. The space has these keys beside the ledger's:

    <space>:order:<id>            what was ordered, JSON

A URL of a run stands in one of these at a time:

    <space>:waiting:<id>          list: pages of the present level
    <space>:next:<id>             list: pages of the next level
    <space>:retry:<id>            sorted set: url -> when it is tried again
    <space>:claimed:<id>          sorted set: url -> end of its lease, its fence as well: no later lease ends as early
    <space>:completed:<id>        list: the summary's entries of these pages, JSON
    <space>:failed:<id>           list: the summary's entries of these pages, JSON

    <space>:seen:<id>             set: digests of all URLs of the run
    <space>:redirected:<id>       hash: digest of a URL that a page was redirected to -> the page's level
    <space>:tries:<id>            hash: url -> attempts, time of the first, lost leases
    <space>:slots:<host>          sorted set: token of a round and number of its slot -> when the slot is free again
    <space>:host_backoff:<host>   hash: until when the host wants no requests; how often in a row it has not said

The events of a run are numbered; its summary has no number, but is `summary`:

    <space>:outbox:<id>           sorted set: number -> when it is due, or the end of its lease
    <space>:delivering:<id>       sorted set: number -> end of its lease
    <space>:events:<id>           hash: number -> JSON
    <space>:delivery_tries:<id>   hash: number -> attempts
"""
