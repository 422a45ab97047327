"""How a crawl looks to whoever follows it: its pages shortened, its figures, and on a terminal a live view."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from longhaul.crawls.crawl import Crawl
from longhaul.crawls.envelope import cost
from longhaul.process.terminal import printable, say
from longhaul.scraperapi.models import Json
from longhaul.work.item import ENDS

PAGES_SHOWN = 15
BAR_COLUMNS = 20
REFRESH_SECONDS = 0.1
KEPT = ("id", "status", "depth", "url", "statusCode", "bytes", "failReason", "credits")


def short_page(envelope: Json) -> Json:
    """A page's envelope without its body: `bytes` says how long that is."""
    short = envelope | ({"bytes": size} if (size := length(envelope)) is not None else {})
    return {name: short[name] for name in KEPT if name in short}


def length(envelope: Json) -> int | None:
    """Bytes of an envelope's body, as the target sent them; None where there is none."""
    if "base64EncodedBody" in envelope:
        coded = str(envelope["base64EncodedBody"])
        return len(coded) * 3 // 4 - coded[-2:].count("=")
    body = envelope.get("body")
    if body is None:
        return None
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass"))


def figures(envelope: Json, failed: int, seconds: float) -> str:
    """One line about a crawl that has ended: how many pages arrived, how many of them `failed`, and how many are
    missing.
    """
    missing = f"{envelope['missing']} missing, " if "missing" in envelope else ""
    pages = "1 page" if envelope["received"] == 1 else f"{envelope['received']} pages"
    return f"crawl: {pages}, {failed} failed, {missing}{envelope['credits']} credits, {seconds:.1f} s"


def is_whole(envelope: Json) -> bool:
    """Whether a crawl has finished with all of its pages."""
    return envelope["status"] == "finished" and not envelope.get("missing")


class CrawlView:
    """A live view on stderr, a context; one line where that is no terminal."""

    def __init__(self, crawl_id: str, start_url: str) -> None:
        self._title = f"Crawl {crawl_id} of {printable(start_url)}"
        self._console = Console(stderr=True)
        self._pages: deque[Json] = deque(maxlen=PAGES_SHOWN)
        self._crawl: Crawl | None = None
        self._started = time.monotonic()
        self._refreshed = 0.0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._console.is_terminal:
            say(self._title)
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def show(self, pages: Iterable[Json], crawl: Crawl | None) -> None:
        """Show an update; pages as `short_page` gives them."""
        self._pages.extend(pages)
        self._crawl = crawl or self._crawl
        now = time.monotonic()
        if self._live is not None and now - self._refreshed >= REFRESH_SECONDS:
            self._live.refresh()
            self._refreshed = now

    def pause(self) -> None:
        """Stop drawing, so that a question can be asked."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def go_on(self) -> None:
        """Start drawing, or go on below what has been printed meanwhile."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._render, auto_refresh=False)
            self._live.start()

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")]
        if self._crawl is not None:
            line = Table.grid(padding=(0, 1))
            line.add_row(*_bar(self._crawl), Text(progress(self._crawl, time.monotonic() - self._started)))
            parts.append(line)
        return Group(*parts, *([pages_table(self._pages)] if self._pages else []))


def progress(crawl: Crawl, seconds: float) -> str:
    """One line about a crawl that goes on; the number of pages found is left out until the remote has given it."""
    found, arrived, budget = crawl.progress, crawl.arrived, crawl.request.crawl_budget
    state = "being cancelled" if crawl.cancelled and crawl.state not in ENDS else crawl.state
    parts = [
        # What has arrived since the last poll was found as well.
        f"{max(found.done + found.failed + found.active, arrived.pages)} pages found" if found else "",
        f"{arrived.pages} arrived",
        f"{arrived.failed} failed",
        f"{cost(crawl)} credits" if budget is None else f"{cost(crawl)} of {budget} credits",
        f"{seconds:.0f} s",
    ]
    return f"{state}: {', '.join(part for part in parts if part)}"


def _bar(crawl: Crawl) -> list[ProgressBar]:
    budget = crawl.request.crawl_budget
    return [] if budget is None else [ProgressBar(total=budget, completed=min(cost(crawl), budget), width=BAR_COLUMNS)]


def pages_table(pages: Iterable[Json]) -> Table:
    """The last pages, a line each."""
    table = Table(box=None, header_style="dim", pad_edge=False, expand=True)
    for name in ("status", "depth", "code", "bytes"):
        table.add_column(name, justify="left" if name == "status" else "right", no_wrap=True)
    table.add_column("url", ratio=1, no_wrap=True, overflow="ellipsis")
    for page in pages:
        known = "failReason" not in page
        cells = (page["status"], page["depth"], page.get("statusCode", ""), page.get("bytes", ""))
        words = page["url"] if known else f"{page['url']} ({page['failReason']})"
        table.add_row(*(Text(str(cell)) for cell in cells), Text(printable(words)), style="" if known else "red")
    return table
