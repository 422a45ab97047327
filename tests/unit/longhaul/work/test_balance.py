import pytest

from longhaul.ledger.due import Books, Lane
from longhaul.work.balance import balance
from longhaul.work.item import State

SOUND = {
    "submitted": 10,
    "queued": 2,
    "running": 3,
    "finished": 1,
    "failed": 1,
    "expired": 1,
    "cancelled": 2,
    "envelopes": 5,
}


def books(indexed=5, **changes):
    lanes = [Lane("send:default", 2, 1, 1.0, None, None), Lane("poll:default", indexed - 2, 0, None, None, None)]
    return Books(1.0, SOUND | changes, lanes)


def test_books_that_balance_have_no_faults():
    found = balance(books())
    assert (found.submitted, found.open, found.envelopes, found.faults) == (10, 5, 5, [])
    assert found.states[State.CANCELLED] == 2


def test_empty_books_balance():
    assert balance(Books(1.0, {}, [])).faults == []


@pytest.mark.parametrize(
    ("wrong", "faults"),
    [
        ({"submitted": 11}, ["11 submitted, but 10 in all states together", "6 open, but 5 in the due index"]),
        ({"envelopes": 4}, ["5 ended, but 4 envelopes"]),
        ({"envelopes": 6}, ["5 ended, but 6 envelopes"]),
        ({"indexed": 4}, ["5 open, but 4 in the due index"]),
        ({"indexed": 6}, ["5 open, but 6 in the due index"]),
        ({"running": 2}, ["10 submitted, but 9 in all states together"]),
    ],
)
def test_each_thing_that_does_not_add_up_is_named(wrong, faults):
    assert balance(books(**wrong)).faults == faults
