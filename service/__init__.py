"""The self-hosted service: the remote's contract on one's own machines (`docs/reference/service.md`).

    POST /jobs ──submission──> runs.create            a record, due at once in the lane `fetch`
    ticker (each second, and at once after a POST)     dispatch: as many `service.fetch` tasks as there is due work for
    service.fetch    claim ─> fetch ─> verdict ─> apply    (running again later | finished | failed), then perhaps the lane `webhook`
    service.deliver  claim ─> POST to the callback ─> apply   (try again later | done | given up)
    GET /jobs/<id> ──runs.read──> documents            the first reading of a result deletes it

A *run* is one job of the remote's, as the service sees it: its id is what a client of ours calls the remote id. Only
`composition` reads settings. Messages are hints here as well: the ticker sees what a lost one leaves behind.
"""
