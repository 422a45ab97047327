"""`longhaul crawl` as a person and as a pipe use it, on a small site whose second page may be held back."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from longhaul.crawls.store import CrawlStore
from longhaul.work.item import State
from tests.builders import crawl_limits
from tests.installation import ROOT, Installation, until
from tests.wire import Ask, Reply, wire

PAGES = {
    "/": '<a href="/a">a</a> <a href="/b">b</a> <a href="/held">held</a>',
    "/a": "<p>ä</p>",
    "/b": '<a href="/c">c</a>',
    "/c": "too deep",
    "/held": "comes late",
}
HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass
class Site:
    base: str = ""
    held: threading.Event = field(default_factory=threading.Event)

    def __call__(self, ask: Ask) -> Reply:
        body = PAGES[ask.path].encode()
        return Reply(200, body, HTML, after=self.held if ask.path == "/held" else None)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    with wire(site) as server:
        site.base = server.base
        yield site
        site.held.set()


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def command(longhaul: Installation, *arguments: str, **streams: int) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.Popen(
        line, env={**longhaul.env, "COLUMNS": "120", "TERM": "xterm"}, cwd=ROOT, start_new_session=True, **streams
    )


def on_a_terminal(
    longhaul: Installation,
    *arguments: str,
    then: Sequence[tuple[str, Callable[[subprocess.Popen[bytes], int], object]]],
) -> tuple[int, str]:
    """Exit code and screen of a command; each of `then` is done once its words have been seen after those before."""
    ours, theirs = pty.openpty()
    process = command(longhaul, *arguments, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen, seen, waiting, last = "", 0, list(then), None
    end = time.monotonic() + 60
    try:
        while True:
            assert time.monotonic() < end, screen
            if not select.select([ours], [], [], 0.5)[0]:
                # A signal in the very moment before a read blocks is seen after the read only: a person presses again.
                if last is interrupt:
                    interrupt(process, ours)
                continue
            try:
                screen += os.read(ours, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                break
            while waiting and (at := screen.find(waiting[0][0], seen)) >= 0:
                seen = at + len(waiting[0][0])
                last = waiting.pop(0)[1]
                last(process, ours)
        return process.wait(30), screen
    finally:
        process.kill()
        process.wait(30)
        os.close(ours)


def interrupt(process: subprocess.Popen[bytes], _: int) -> None:
    process.send_signal(signal.SIGINT)


def typed(keys: str) -> Callable[[subprocess.Popen[bytes], int], object]:
    return lambda _, terminal: os.write(terminal, keys.encode())


def crawls(longhaul: Installation) -> CrawlStore:
    return CrawlStore(longhaul.redis, crawl_limits())


def cancelled(longhaul: Installation, crawl_id: str) -> bool:
    crawl = crawls(longhaul).get(crawl_id)
    return crawl is not None and crawl.state is State.CANCELLED


def test_pages_are_followed_and_stay_in_their_queue(longhaul: Installation, site: Site) -> None:
    site.held.set()
    queue = f"crawl-{uuid4().hex[:8]}"
    ended = longhaul.command(
        "crawl", site.base, "--depth", "1", "--budget", "9", "--exclude", "/b$", "--queue", queue, "--follow"
    )
    assert ended.returncode == 0, ended.stderr
    *pages, summary = lines(ended.stdout)
    assert {page["url"]: (page["depth"], page["statusCode"], page["bytes"]) for page in pages} == {
        f"{site.base}/": (0, 200, len(PAGES["/"])),
        f"{site.base}/a": (1, 200, 9),
        f"{site.base}/held": (1, 200, 10),
    }
    assert not [page for page in pages if {"body", "headers"} & set(page)]
    assert (summary["kind"], summary["status"], summary["received"], summary["missing"]) == ("crawl", "finished", 3, 0)
    assert re.fullmatch(r"crawl: 3 pages, 0 failed, 0 missing, 3 credits, [0-9.]+ s", ended.stderr.splitlines()[-1])
    longhaul.read(queue)
    assert {str(one["id"]) for one in (*pages, summary)} <= set(longhaul.envelopes)


def test_a_crawl_is_ordered_seen_in_the_status_and_cancelled(longhaul: Installation, site: Site) -> None:
    ordered = longhaul.command("crawl", site.base, "--depth", "1")
    assert ordered.returncode == 0, ordered.stderr
    (row,) = lines(ordered.stdout)
    assert row["url"] == site.base
    until(lambda: (crawl := crawls(longhaul).get(str(row["id"]))) and crawl.arrived.pages == 3, "three pages")
    status = longhaul.command("status")
    assert status.returncode == 0, status.stderr
    counts = {str(line["what"]): line["count"] for line in lines(status.stdout)}
    assert counts["crawls submitted"] == crawls(longhaul).books().counts["submitted"]
    assert counts["crawls running"] == crawls(longhaul).books().counts["running"] >= 1
    assert counts["crawls pages"] == crawls(longhaul).books().counts["pages"] >= 3
    ended = longhaul.command("cancel", str(row["id"]))
    assert ended.returncode == 0, ended.stderr
    assert lines(ended.stdout)[0]["id"] == row["id"]
    until(lambda: cancelled(longhaul, str(row["id"])), "its end")


def test_what_is_wrong_is_said(longhaul: Installation) -> None:
    endless = longhaul.command("crawl", "http://x.example/")
    assert (endless.returncode, endless.stdout) == (2, "")
    assert "Name --depth or --budget" in endless.stderr
    refused = longhaul.command("crawl", "http://x.example/", "--depth", "1", "--include", "(")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("url_regexp_include: '('")


def test_ctrl_c_on_a_terminal_asks_and_cancels(longhaul: Installation, site: Site) -> None:
    asked = [("3 arrived", interrupt), ("[y/N]", typed("\n")), (" arrived", interrupt), ("[y/N]", typed("y\n"))]
    code, screen = on_a_terminal(longhaul, "crawl", site.base, "--depth", "1", "--budget", "9", "--follow", then=asked)
    assert code == 1, screen
    assert f"{site.base}/a" in screen
    assert re.search(r"cancelled\r\ncrawl: 3 pages, 0 failed, 3 credits, [0-9.]+ s\r\n$", screen)


def test_ctrl_c_twice_leaves_it_running(longhaul: Installation, site: Site) -> None:
    # What has said its last word is not interrupted again.
    asked = [("3 arrived", interrupt), ("[y/N]", interrupt), (" goes on. ", typed(""))]
    code, screen = on_a_terminal(longhaul, "crawl", site.base, "--depth", "1", "--follow", then=asked)
    assert code == 130, screen
    crawl_id = re.findall(r"Crawl (\S+) goes on\. .* longhaul cancel", screen)[0]
    crawl = crawls(longhaul).get(crawl_id)
    assert crawl is not None
    assert crawl.state is State.RUNNING
    site.held.set()
    until(lambda: (crawl := crawls(longhaul).get(crawl_id)) and crawl.state is State.FINISHED, "its end")


def test_ctrl_c_without_anybody_to_ask_leaves_it_running(longhaul: Installation, site: Site) -> None:
    process = command(
        longhaul,
        *("crawl", site.base, "--depth", "1", "--follow"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait(30) == 130, said
    crawl_id = re.findall(r"Crawl (\S+) goes on", said)[0]
    assert longhaul.command("cancel", crawl_id).returncode == 0
    until(lambda: cancelled(longhaul, crawl_id), "its end")
