"""The crawls: one record each, from creation to summary, and every page on its way to the results queue.

arguments   a caller's arguments -> a `NewCrawl`, or an error that names the argument
crawl       the record as a frozen type: states, steps
store       the ledger's verbs for crawls: order, claim, apply, record pages and summaries, cancel
remote      one call at a time: create, poll the progress, cancel
decider     (crawl, what was seen, now) -> what follows; pure
pushes      pages and summaries that the remote pushes; `recorder` writes many of them at once
envelope    the records of pages, of crawls and of runs

What goes through these is `longhaul.work.batch_runner`: claim -> act -> decide -> apply.

The space of crawls has these keys beside the ledger's:

    <space>:seen:<id>       set of the pages of the present run that are in the results queue
    <space>:previous:<id>   set of those of the run before, of a recurring crawl
"""
