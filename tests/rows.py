"""Rows in a ledger for tests: shared by the tests of its operations."""

from longhaul.ledger.due import NewRecord
from tests.builders import HOUR, START

TABLE = {"open": ["busy", "done"], "busy": ["open", "done"], "done": ()}
SPACE = "longhaul:{test}"
LEASE = 100.0


def put(due, *ids, lane="lane", **fields):
    assert due.create([NewRecord(id_, "open", lane, fields, {"text": f"text of {id_}"}) for id_ in ids]) == [
        True
    ] * len(ids)


def claim(due, limit=10, lane="lane", **options):
    return due.claim(lane, limit=limit, lease=LEASE, **({"deadline": 72 * HOUR} | options))


def ids(claimed):
    return [row.id for row in claimed.rows]


def fence(due, id_="a"):
    return int(due.get(id_).fields.get("fence", 0))


def move(due, id_, fence, state="open", lane="lane", at=START, **options):
    (written,) = due.write([due.moving(id_, fence, state, lane, at, **options)])
    return written


def finish(due, id_, fence, state="done", **options):
    (written,) = due.write([due.finishing(id_, fence, state, **({"keep": 600} | options))])
    return written


def counts(due):
    return {name: count for name, count in due.books().counts.items() if count}
