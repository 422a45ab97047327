"""What a job and a crawl share: their records, one runner of batches, one store, one set of policies.

batch_runner     claim -> act -> decide -> apply: one batch of one step
batch            what goes through it: claimed items, applied decisions, the report
store            the ledger's verbs that both families have; `family` what tells one from the other
durable_write    writes that outlast a restart of the ledger, and a fence
decisions        what follows from trouble with the remote; `retry_policies` has the numbers, `backoff` the pauses
item             the fields and states that both have; `corrupt_records` reads them
arguments        the arguments that callers give for both
envelope         what every envelope has
callbacks        the addresses at which the remote pushes
account_limits   what an account may ask of the remote
balance          the books: everything that was submitted is open or has its envelope
"""
