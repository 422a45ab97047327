"""The table of all settings in `docs/reference/settings.md`, made from `config/settings.py`.

`python -m tests.docs.settings_table --write` (or `make docs-settings`) writes it; without `--write` it goes to stdout.
A test compares the two.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from config.settings import Settings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "config" / "settings.py"
PAGE = ROOT / "docs" / "reference" / "settings.md"
BEGIN = "<!-- made by `make docs-settings`: begin -->"
END = "<!-- made by `make docs-settings`: end -->"

HEAD = "| variable | type | default | unit | meaning |"
# The heading of each part of the table, by the first setting under it.
HEADINGS = {
    "redis_url": "Addresses, keys, accounts",
    "poll_first": "Polling and deadlines",
    "http_timeout": "Calls, batches, leases",
    "crawl_deadline": "Crawls",
    "results_high_entries": "Results",
    "schedules_file": "Processes",
    "service_api_keys": "The self-hosted service",
}
# What an annotation in the source means to a reader.
TYPES = {
    "RedisUrl": "`redis://` or `rediss://` address",
    "BrokerUrl | None": "`redis(s)://` or `amqp(s)://` address",
    "HttpBase": "http(s) address",
    "HttpBase | None": "http(s) address",
    "LongSecret | None": "secret, 16 characters or more",
    "SecretStr | None": "secret",
    "dict[str, SecretStr]": "JSON object, values secret",
    "dict[str, AccountLimitSetting]": "JSON object",
    "list[SecretStr]": "JSON list, secret",
    "Path | None": "path",
    "Seconds": "number",
    "float": "number",
    "Count": "whole number",
    "int": "whole number",
    "bool": "`true` or `false`",
    "str": "text",
}
NUMBERS = {"Seconds", "float", "Count", "int"}
# Units of the numbers that are no seconds and no bytes.
COUNTED = {
    "poll_growth": "factor",
    "poll_jitter": "share",
    "batch_size": "jobs",
    "max_batches": "batches",
    "worker_threads": "threads",
    "crawl_max_depth": "levels",
    "crawl_max_budget": "credits",
    "results_high_entries": "envelopes",
    "service_per_host": "pages",
}
DAY = 24 * 3600
# (unit, its size, the least value that is shown in it)
LARGER = {
    "bytes": [("GiB", 1024**3, 1024**3), ("MiB", 1024**2, 1024**2)],
    "s": [("days", DAY, 7 * DAY), ("h", 3600, 3600)],
}


@dataclass(frozen=True)
class Row:
    """One setting as the table shows it."""

    field: str
    type: str
    default: str
    unit: str
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"LONGHAUL_{self.field.upper()}"


def rows() -> list[Row]:
    """A row for each setting, in the order of the source."""
    return [_row(name, *found) for name, found in _written().items()]


def table() -> str:
    """The table as Markdown, in parts with headings."""
    return "\n".join(_lines()) + "\n"


def page() -> str:
    """The page with the table as it has to be."""
    before, rest = PAGE.read_text().split(BEGIN + "\n")
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}{END}{after}"


def _lines() -> Iterator[str]:
    for row in rows():
        if heading := HEADINGS.get(row.field):
            yield from ("", f"## {heading}", "", HEAD, "|---|---|---|---|---|")
        yield f"| `{row.variable}` | {row.type} | {row.default} | {row.unit} | {row.meaning} |"
    yield ""


def _written() -> dict[str, tuple[str, str]]:
    """The annotation of each setting and the docstring under it, as the source has them."""
    tree = ast.parse(SOURCE.read_text())
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    found: dict[str, tuple[str, str]] = {}
    last = ""
    for node in body:
        last_of, last = last, ""
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
            found[last] = (ast.unparse(node.annotation), "")
        elif last_of and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[last_of] = (found[last_of][0], str(node.value.value))
    return found


def _row(name: str, annotation: str, words: str) -> Row:
    field = Settings.model_fields[name]
    bounds = [text for item in field.metadata for text in _bounds(item)]
    type_ = ", ".join([TYPES[annotation], *bounds]) if annotation != "str" else bounds[0]
    unit = _unit(name) if annotation in NUMBERS else ""
    return Row(name, type_, _default(field.get_default(call_default_factory=True), unit), unit, _linked(words))


def _bounds(item: Any) -> Iterator[str]:
    for attribute, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
        if (bound := getattr(item, attribute, None)) is not None:
            yield f"{sign} {bound:g}"
    if pattern := getattr(item, "pattern", None):
        yield " or ".join(f"`{word}`" for word in re.findall(r"\w+", pattern))


def _unit(name: str) -> str:
    return COUNTED.get(name) or ("bytes" if name.endswith("_bytes") else "s")


def _default(value: Any, unit: str) -> str:
    match value:
        case None:
            return "unset"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            larger = [
                f" ({value / size:g} {word})"
                for word, size, least in LARGER.get(unit, [])
                if value >= least and value % size == 0
            ]
            return f"`{value:.12g}`{larger[0] if larger else ''}"
        case dict() | list():
            return "`{}`" if isinstance(value, dict) else "`[]`"
        case _:
            assert value is not PydanticUndefined
            return f"`{value}`"


def _linked(words: str) -> str:
    """A docstring as a cell: settings by their variables, pages as links."""
    text = " ".join(words.split()).replace("|", r"\|")
    text = re.sub(r"`docs/([a-z-]+)/([a-z-]+)\.md`", r"[\2](../\1/\2.md)", text)
    return re.sub(r"`([a-z_]+)`", lambda found: _variable(found[1]), text)


def _variable(name: str) -> str:
    return f"`LONGHAUL_{name.upper()}`" if name in Settings.model_fields else f"`{name}`"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        sys.stdout.write(table())
