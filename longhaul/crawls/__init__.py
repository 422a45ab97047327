"""The crawls: one record each, from creation to summary, and every page on its way to the results queue.

intake     a caller's arguments -> an Order, or an error that names the argument
crawl      the record as a frozen type: states, steps
store      the ledger's verbs for crawls: order, claim, apply, take a page, note a summary, cancel
remote     one call at a time: create, look at the progress, cancel
decide     (crawl, what was seen, now) -> what follows; pure
flow       claim -> act -> decide -> apply; a pushed event joins at `take`

It stands on `jobs`: one table of policies and pauses, one set of rules for a caller's arguments, the same states.
"""
