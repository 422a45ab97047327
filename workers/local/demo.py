"""`make demo`: 100 jobs, from another service's `send_task` to bodies in a results queue, and a crawl, on this machine
with the real processes.

The pages come from the standard library's documentation server, `python -m pydoc`, which is not part of this project.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from longhaul.ledger.connection import connect
from longhaul.ledger.results import Reader
from longhaul.process.terminal import say, shortened
from workers.lifecycle import exit_with_reason
from workers.local.embedded_server import find_server, serving
from workers.local.processes import PartFailed, Processes
from workers.local.stack import HOST, Stack, free_ports, is_self_hosted

MAX_PAGES = 100
SHOWN = 3
EX_WRONG_USAGE = 2
GIVE_UP_SECONDS = 600.0
"""After so long without a single new envelope the demo gives up."""
ENQUEUE = Path(__file__).parents[2] / "examples" / "enqueue.py"
# Pages of modules that do something when imported: open a browser, print, need a screen.
WITH_SIDE_EFFECTS = re.compile(
    r"(antigravity|this|idlelib|lib2to3|test|tkinter|turtle.*|__.*|_.*|index|topics|keywords)\.html"
)
# Packages whose pages link to one another, so that the second level has pages to find, and whose modules do nothing
# when imported.
CRAWLED = r"/(concurrent|email|html|http|importlib|json|logging|urllib|wsgiref|xml|zoneinfo)(\.[a-z]+)*\.html$"
BUDGET = 100
PUBLIC_PAGES = [
    f"https://docs.python.org/3/library/{name}.html" for name in ("json", "queue", "sched", "asyncio", "zoneinfo")
]


def main() -> None:
    """Run the demo, with the user's own pages where `URL` or `URLS` names some. Exit 0 if nothing was lost."""
    try:
        urls = given(os.environ)
    except ValueError as error:
        say(str(error))
        sys.exit(EX_WRONG_USAGE)
    lines: list[str] = []
    with exit_with_reason(), tempfile.TemporaryDirectory(prefix="longhaul-demo-") as folder:
        ports = free_ports()
        self_hosted = is_self_hosted(os.environ)
        server = find_server()
        parts = f"{'service, ' if self_hosted else ''}receiver, 2 workers, Flower and beat"
        say("\n".join([*server.passed_over, f"Starting {server}, {parts} on this machine ..."]))
        with (
            serving(ports.redis, Path(folder)) as redis_url,
            Processes(lambda name, line: lines.append(f"{name}: {line}")) as processes,
        ):
            local = Stack(ports, redis_url, self_hosted, workers=2, secret=secrets.token_hex(24))
            try:
                processes.start(local.remote())
                processes.start(local.own())
            except PartFailed as error:
                say("\n".join([*lines[-30:], str(error)]))
                sys.exit(1)
            with _site(wanted=self_hosted and not urls) as pages:
                urls = urls or pages or PUBLIC_PAGES
                say(f"Flower: {local.flower_url} (user longhaul, password {local.password}), until the demo ends.")
                say(f"Enqueueing {len(urls)} URLs with send_task from another process ...")
                started = time.monotonic()
                ids = _enqueue(urls, redis_url)
                envelopes = _collect(redis_url, ids)
                seconds = time.monotonic() - started
                crawled = _crawl(pages[0], local) if pages else True
            if not self_hosted:
                say("No crawl: the demo's site is on this machine, where only the self-hosted service can reach it.")
            say("Shutting down ...")
    code = _report(ids, envelopes, seconds)
    sys.exit(code if crawled else 1)


def given(environ: Mapping[str, str]) -> list[str]:
    """The addresses in `URL`, separated by spaces, and in the file that `URLS` names, one a line; raises `ValueError`.

    They are variables because make would pass the `&` of an argument to the shell.
    """
    urls = environ.get("URL", "").split()
    if file := environ.get("URLS"):
        try:
            lines = [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines()]
        except OSError as error:
            raise ValueError(f"URLS: {file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"URLS: {file}: is no text in UTF-8; it must have one URL a line") from None
        urls += [line for line in lines if line and not line.startswith("#")]
        if not urls:
            raise ValueError(f"URLS: {file}: has no URL in it; it must have one a line")
    return urls


@contextmanager
def _site(*, wanted: bool) -> Iterator[list[str]]:
    """The documentation server, and the addresses of 100 of its pages."""
    if not wanted:
        yield []
        return
    # Isolated and without site-packages: only the standard library's modules. It ends when its stdin does.
    command = [sys.executable, "-I", "-S", "-m", "pydoc", "-n", HOST, "-p", "0"]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None  # noqa: S101  (PIPE above)
            base = server.stdout.readline().split()[-1]
            index = requests.get(base, timeout=10).text
            pages = [
                page for page in re.findall(r'href="([^"]+\.html)"', index) if not WITH_SIDE_EFFECTS.fullmatch(page)
            ]
            say(f"Web site: the standard library's documentation server at {base}, {len(pages)} pages.")
            yield [base + page for page in dict.fromkeys(pages)][:MAX_PAGES]
        finally:
            server.terminate()


def _enqueue(urls: Sequence[str], redis_url: str) -> list[str]:
    answer = subprocess.run(  # noqa: S603
        [sys.executable, "-I", str(ENQUEUE)],
        input="\n".join(urls),
        env={**os.environ, "BROKER_URL": redis_url},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return answer.stdout.split()


def _crawl(page: str, local: Stack) -> bool:
    """Crawl the documentation server that has this page with the real command, which prints its figures on stderr;
    whether all pages arrived.
    """
    say("Crawling the site with `longhaul crawl --follow` ...")
    bounds = ["--depth", "2", "--budget", str(BUDGET), "--include", CRAWLED]
    command = [sys.executable, "-m", "cli.main", "crawl", urljoin(page, "/"), *bounds, "--queue", "crawl", "--follow"]
    # Without a terminal to ask on: Ctrl-C ends the demo, and everything with it.
    quiet = subprocess.DEVNULL
    env = {**os.environ, **local.env}
    return subprocess.run(command, env=env, stdin=quiet, stdout=quiet, check=False).returncode == 0  # noqa: S603


def _collect(redis_url: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read envelopes until each job has one, or none has arrived for a long time."""
    envelopes: dict[str, dict[str, Any]] = {}
    redis = connect(redis_url)
    reader = Reader(redis, "results", "demo", "demo")
    last = time.monotonic()
    with _progress(len(ids)) as advance:
        while len(envelopes) < len(ids) and time.monotonic() - last < GIVE_UP_SECONDS:
            entries = reader.read(block=1.0)
            envelopes |= {entry.envelope["id"]: entry.envelope for entry in entries}
            reader.acknowledge(entries)
            if entries:
                last = time.monotonic()
            advance(len(envelopes))
    redis.close()
    return envelopes


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A live bar on a terminal; elsewhere a plain line whenever the count changes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        known = [-1]

        def line(done: int) -> None:
            if done != known[0]:
                known[0] = done
                say(f"  {done} of {total} finished")

        yield line
        return
    with Progress(
        TextColumn("finishing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as bar:
        task = bar.add_task("jobs", total=total)
        yield lambda done: bar.update(task, completed=done)


def _report(ids: Sequence[str], envelopes: dict[str, dict[str, Any]], seconds: float) -> int:
    for envelope in list(envelopes.values())[:SHOWN]:
        short = shortened(envelope)
        sys.stdout.write("\n" + "\n".join(f"  {name:<12} {value}" for name, value in short.items()) + "\n")
    finished = sum(envelope["status"] == "finished" for envelope in envelopes.values())
    lost = len(set(ids) - set(envelopes))
    failed = len(envelopes) - finished
    sys.stdout.write(
        f"\ndemo: {len(ids)} submitted, {finished} finished, {failed} failed, {lost} lost, {seconds:.1f} s\n"
    )
    return 0 if lost == 0 else 1


if __name__ == "__main__":
    main()
