"""The crawls: one record each, from creation to summary, and every page on its way to the results queue.

intake     a caller's arguments -> an Order, or an error that names the argument
crawl      the record as a frozen type: states, steps
store      the ledger's verbs for crawls: order, claim, apply, take a page, note a summary, cancel
remote     one call at a time: create, look at the progress, cancel
decide     (crawl, what was seen, now) -> what follows; pure
flow       claim -> act -> decide -> apply; a pushed event joins at `take`

Its space has these keys beside the ledger's:

    <space>:seen:<id>       set of the pages of the present run that are in the results queue
    <space>:previous:<id>   set of those of the run before, of a recurring crawl

It stands on `jobs`: one table of policies and pauses, one set of rules for a caller's arguments, the same states.
"""
