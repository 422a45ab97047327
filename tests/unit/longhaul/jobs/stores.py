"""Jobs brought to a state, and what became of a decision: for the tests of the store."""

from longhaul.jobs.job import JobStep
from longhaul.work.balance import balance
from longhaul.work.decisions import Sent
from tests.builders import submit


def apply(store, step, job, decision, now=None):
    (applied,) = store.apply(step, [(job, decision)], store.now() if now is None else now)
    return applied.written


def running(store, *ids):
    """Jobs that the remote has taken, their first poll due now."""
    submit(store, *ids)
    for job in store.claim(JobStep.SEND, "default").items:
        assert apply(store, JobStep.SEND, job, Sent(f"remote-{job.id}", store.now())) == "moved"


def balanced(store, **states):
    found = balance(store.books())
    assert found.faults == []
    assert {state.value: count for state, count in found.states.items() if count} == states
