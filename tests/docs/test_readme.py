"""The programs in README work, and work when they are run again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.docs.conftest import Up
from tests.docs.reader import Reader, blocks
from tests.installation import ROOT

ENQUEUE, READ = [text for language, text in blocks((ROOT / "README.md").read_text()) if language == "python"]


@pytest.fixture
def reader(up: Up, tmp_path: Path) -> Iterator[Reader]:
    """A reader for whom `https://example.com` is a site on this machine."""
    port = free_port()
    reader = up.reader(tmp_path)
    reader.addresses = {**reader.addresses, "https://example.com": f"http://127.0.0.1:{port}/product"}
    with reader:
        shop = reader.keep_running(f".venv/bin/python examples/shop.py {port}")
        assert shop.stdout
        shop.stdout.readline()
        yield reader


@pytest.mark.timeout(180)
def test_enqueueing_and_reading_go_well_twice_and_say_nothing_at_their_exit(reader: Reader) -> None:
    enqueue, read = reader.save(f"# enqueue.py\n{ENQUEUE}"), reader.save(f"# read.py\n{READ}")
    for _ in range(2):
        job_id, envelope, ids = reader.run(f".venv/bin/python {enqueue.name} 2>&1").splitlines()
        assert job_id in envelope
        assert "'status': 'finished'" in envelope
        assert ids.count("'") == 4
        (line,) = reader.run(f".venv/bin/python {read.name} 2>&1").splitlines()
        assert line.split()[:2] == [job_id, "finished"]
