"""Redis as the ledger: durable records, an index of what is due, and the results queues.

A *space* is a family of records under one key prefix, with one table of transitions. `due` claims and moves them,
`results` reads what they ended in. Every write of a state is one of the scripts in `scripts/`, and a script is all or
nothing.

    <space>:record:<id>     hash of small fields: state, lane, fence, and whatever the owner keeps
    <space>:<blob>:<id>     strings beside the record, too big for it
    <space>:due:<lane>      sorted set: id -> time of its next action, or the end of its lease
    <space>:pause:<lane>    hash: until, count, reason
    <space>:batches:<step>  sorted set: batches under way -> when they are given up for lost
    <space>:ticked          when the due loop last came round
    <space>:books           hash: submitted, envelopes, and one counter for each state
    <space>:lanes           set of every lane that ever held a record
"""
