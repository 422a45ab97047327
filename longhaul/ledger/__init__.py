"""Redis as the ledger: durable records, an index of what is due, and the results queues.

A *space* is a family of records under one key prefix, with one table of transitions. `due` claims and moves them,
`results` reads what they ended in. Every write of a state is one of the scripts in `scripts/`, and a script is all or
nothing. The header of a script names the keys that it touches; these are all that every space has:

    <space>:record:<id>     hash of small fields: state, lane, fence, lease, and whatever the owner keeps
    <space>:<blob>:<id>     a string beside the record, too big for it
    <space>:due:<lane>      sorted set: id -> time of its next action, or the end of its lease
    <space>:lanes           set of every lane that ever held a record
    <space>:pause:<lane>    hash: until, count (in a row), reason, since, scanned and next_scan (for old records)
    <space>:rate:<account>  hash, the bucket of a rate limit: at, all, and what is left of each lane's share
    <space>:started:<step>  sorted set: token of a batch that has not claimed yet -> when it is given up for lost
    <space>:working:<step>  sorted set: token of a batch that has claimed -> likewise
    <space>:serial          counter that numbers the tokens
    <space>:ticked          when the due loop last came round
    <space>:books           hash: submitted, envelopes, and one counter for each state

Times are epoch seconds. `longhaul.crawls`, `service.crawls` and `service.jobs` name the further keys of their spaces.
The results queues and the dead letters belong to no space: see `results` and `dead_letters`.
"""
