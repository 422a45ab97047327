"""The self-hosted service: the remote's contract on one's own machines (`docs/reference/service.md`).

    POST /jobs ──submission──> runs.create            a record, due at once in the lane `fetch`
    ticker (each second, and at once after a POST)     dispatch: as many rounds as there is due work for
    service.fetch    claim ─> fetch ─> decide ─> settle     due again later | finished | failed; perhaps lane `webhook`
    service.deliver  claim ─> POST to the callback ─> settle   due again later | delivered | given up
    GET /jobs/<id> ──runs.read──> documents            the first reading of a result deletes it

    POST /job ──order──> crawls.store                 a crawl, whose start page is due at once
    service.crawl           claim pages ─> fetch ─> settle: links to the frontier, events to the outbox
    service.deliver_events  claim events ─> POST to the callback ─> settle

Folders, each of which may use those after it: `http` (routes), `jobs` and `crawls` (which know nothing of each other),
`faults` (the fault dial), `fetching` (I/O with the web). `batch_runner` and `round_worker` are what the rounds of jobs
and crawls share. Only `app` reads settings. Messages are hints: the ticker finds whatever a lost one leaves behind.
"""
