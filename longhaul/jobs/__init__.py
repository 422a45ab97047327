"""The jobs: one record each, from submission to envelope.

arguments   a caller's arguments -> a `NewJob`, or an error that names the argument
job         the record as a frozen type: states, steps
store       the ledger's verbs for jobs: submit, claim, apply, cancel
remote      claimed jobs -> calls, answers -> what was seen
decider     (job, what was seen, now) -> what follows; pure
pushes      a result that the remote pushes joins at `decide`
envelope    the one final record

What goes through these is `longhaul.work.batch_runner`: claim -> act -> decide -> apply.
"""
