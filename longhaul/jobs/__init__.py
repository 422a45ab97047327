"""The jobs: one record each, from submission to envelope.

intake     a caller's arguments -> a Submission, or an error that names the argument
store      the ledger's verbs for jobs: submit, claim, apply, cancel, balance
remote     claimed jobs -> calls, answers -> what was seen
decide     (job, what was seen, now) -> what follows; pure
flow       claim -> act -> decide -> apply, the same four moves for sending, polling and cancelling
"""
