from cli.status import books_rows
from longhaul.ledger.due import Books, Lane

NONE = Books(0.0, {}, [])
CRAWLS = Books(
    100.0,
    {"submitted": 2, "running": 1, "finished": 1, "envelopes": 1, "pages": 57},
    [Lane("poll:default", 1, 1, 40.0, None, None), Lane("create:other", 0, 0, None, 160.0, "no credits left")],
)


def test_without_crawls_there_are_no_rows_for_them():
    lines, faults = books_rows({"jobs": NONE, "crawls": NONE})
    assert faults == []
    assert [line["what"] for line in lines][:2] == ["submitted", "jobs queued"]
    assert "crawls" not in str(lines)


def test_crawls_have_their_states_pages_and_lanes():
    lines, faults = books_rows({"jobs": NONE, "crawls": CRAWLS})
    assert faults == []
    rows = {line["what"]: (line["count"], line.get("note", "")) for line in lines}
    assert rows["crawls submitted"] == (2, "")
    assert rows["crawls running"] == (1, "")
    assert rows["crawls pages"] == (57, "received")
    assert rows["due poll:default"] == (1, "oldest due since 1970-01-01 00:00:40 UTC")
    assert rows["due create:other"] == (0, "paused until 1970-01-01 00:02:40 UTC: no credits left")


def test_a_fault_names_its_family():
    _, faults = books_rows({"jobs": NONE, "crawls": Books(0.0, {"submitted": 1}, [])})
    assert faults == ["crawls: 1 submitted, but 0 in all states together", "crawls: 1 open, but 0 in the due index"]
