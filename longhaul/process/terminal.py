"""What `longhaul` prints: data on stdout, as a table for a person and as JSON lines in a pipe; everything else on
stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

SHORT_CHARACTERS = 60


def rows(columns: Sequence[str], data: Sequence[Mapping[str, Any]]) -> None:
    """One row each; in a pipe the whole mapping, on a terminal the named columns."""
    if not sys.stdout.isatty():
        for row in data:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in data:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console().print(table)


def say(words: str) -> None:
    """A line for the person, on stderr."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


def shortened(document: Mapping[str, Any]) -> dict[str, Any]:
    """An envelope for display: long strings cut, headers counted."""
    short = dict(document)
    if "headers" in short:
        short["headers"] = f"{len(short['headers'])} headers"
    for name, value in short.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > SHORT_CHARACTERS:
            short[name] = f"{' '.join(text[:SHORT_CHARACTERS].split())} … ({len(text)} characters)"
    return short


def clock(time: float | None) -> str:
    """Epoch seconds as a time of day, UTC; empty for None."""
    return "" if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def printable(text: str) -> str:
    """`text` in one line, without control characters: it may come from a page, and must not control the terminal."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)


def legible(id_: str) -> str:
    """An id that can be printed anywhere: bytes that are no UTF-8 as hexadecimal numbers."""
    return id_.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _cell(value: object) -> Text:
    if value is None:
        return Text()
    return Text(printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
