"""`make demo` with the user's own pages: its last line, its exit code, and no process left of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import psutil
import pytest

from tests.installation import ROOT, Installation, clean_environ
from workers.local import demo

DEMO = [sys.executable, "-m", "workers.local.demo"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "site"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.html").write_text(f"<h1>page {name}</h1>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def started_with(mark: str) -> list[psutil.Process]:
    """Every process that has `mark` in its environment, which each part inherits from the demo."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DEMO_OF_THE_TEST") == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_pages_of_a_file_arrive_and_nothing_is_left_running(site: str, tmp_path: Path) -> None:
    file, mark = tmp_path / "urls", uuid4().hex
    file.write_text(f"# two pages\n{site}/one.html?a=1&b=2\n{site}/two.html\n")
    env = {**clean_environ(), "URL": "", "URLS": str(file), "DEMO_OF_THE_TEST": mark}
    try:
        ended = subprocess.run(DEMO, env=env, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
        left = started_with(mark)
    finally:
        for process in started_with(mark):
            process.kill()
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^Starting (Redis|Valkey) [0-9.]+ \(/.*-server\), service, receiver", ended.stderr, re.MULTILINE)
    assert re.fullmatch(r"demo: 2 submitted, 2 finished, 0 failed, 0 lost, [0-9.]+ s", ended.stdout.splitlines()[-1])
    assert "<h1>page one</h1>" in ended.stdout
    assert left == []


def test_the_crawl_fetches_the_documentation_or_says_no(
    longhaul: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    with demo._site(wanted=True) as pages:
        assert demo._crawl(pages[0], longhaul.local)
    figures = re.fullmatch(
        r"crawl: ([0-9]+) pages, 0 failed, 0 missing, [0-9]+ credits, [0-9.]+ s",
        capfd.readouterr().err.splitlines()[-1],
    )
    assert figures
    # More than the first page links to: modules of the packages as well.
    assert 40 < int(figures[1]) <= demo.BUDGET
    assert not demo._crawl("ftp://nothing.invalid/", longhaul.local)


def test_make_hands_an_address_on_untouched_and_a_missing_file_is_a_line() -> None:
    line = [
        "make",
        "--silent",
        "--assume-old=.venv/run",
        "demo",
        "URL=https://e.com/?a=1&b=2; echo $${HOME}",
        "URLS=/nowhere/urls",
    ]
    ended = subprocess.run(line, env=clean_environ(), capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert ended.returncode == 2
    assert "URLS: /nowhere/urls: No such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert os.environ["HOME"] not in ended.stdout
