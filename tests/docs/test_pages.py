"""The documentation agrees with the tree: links, paths, settings, words, width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.main import main as command
from config.settings import Settings
from longhaul.crawls import arguments as crawl_arguments
from longhaul.jobs import arguments as job_arguments
from tests.docs import settings_table
from tests.installation import ROOT

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
GUIDES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"LONGHAUL_[A-Z_]*[A-Z]\b")
ROOM = re.compile(r"(?:benchmarks|cli|config|docs|examples|longhaul|service|tasks|tests|workers)/[\w./-]*\w")
SCRIPT = re.compile(r"`(\w+\.lua)`")

# Words of this project as they once were, which no prose uses any more, with what is said in their place.
FORMER = {
    r"set(?:s|ting)? aside": "quarantine",
    r"stumbl\w+": "crash count",
    r"tidings": "outbox",
    r"telling|tell(?:s|er)?|told": "delivery, delivered",
    r"unreadable|salvag\w+": "corrupt record",
    r"mend\w*": "repair, fix",
    r"patience": "wait for the ledger",
    r"look(?:s|ed|ing)?(?!-)": "poll; or see, read, check",
    r"watch(?:es|ed|ing)?": "poll; or monitor",
    r"pulses?": "heartbeat",
    r"push(?:es|ed|ing)?": "webhook, delivered",
    r"gathering": "write coalescer",
    r"stranded": "status",
    r"crews?": "job worker, crawl worker",
    r"verdicts?": "retry policy",
    r"gates?": "host slots",
    r"hasten\w*": "abort pending",
    r"resting": "host backoff",
    r"verbatim": "raw JSON",
    r"subjects?": "target",
    r"judgements?|cargo|seams": "checker, workload, crash points",
}
NEW = [
    *("quarantine", "crash count", "outbox", "delivery", "corrupt record", "repair", "task event", "task result"),
    *("wait for the ledger", "heartbeat", "shutdown", "webhook request", "write coalescer", "dead letter", "caller"),
    *("job worker", "crawl worker", "retry policy", "host slots", "batch runner", "host backoff", "raw json", "target"),
    *("delivered", "poll", "pause", "workload", "nemesis", "cluster", "checker", "crash point"),
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """A page without its code."""
    return SPAN.sub("``", FENCE.sub("", text))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_no_link_is_broken(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_on_a_shelf() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert listed == {page for page in PAGES if page.is_relative_to(index.parent)} - {index}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_line_is_over_120_columns_but_rows_of_tables(page: Path) -> None:
    lines = enumerate(page.read_text().splitlines(), 1)
    assert [number for number, line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_every_path_that_is_named_exists(page: Path) -> None:
    # What a page links to is the business of the links; `tests/system` and the like are folders.
    text = re.sub(r"\]\([^)]*\)", "]", page.read_text())
    named = {match[0] for match in ROOM.finditer(text) if text[match.start() - 1] in "`( \n"}
    # A module may be named as it is imported: without its ending.
    assert [path for path in sorted(named) if not (ROOT / path).exists() and not (ROOT / f"{path}.py").exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_script_that_is_named_exists(page: Path) -> None:
    there = {path.name for folder in ("longhaul", "service") for path in (ROOT / folder).rglob("*.lua")}
    assert set(SCRIPT.findall(page.read_text())) - there == set()


@pytest.mark.parametrize("page", [page for page in GUIDES if page.name != "CHANGELOG.md"], ids=name_of)
def test_every_setting_that_is_named_is_one(page: Path) -> None:
    text = page.read_text()
    settings = {f"LONGHAUL_{name.upper()}" for name in Settings.model_fields} | {"LONGHAUL_SECRETS_DIR"}
    named = {
        match[0]
        for match in VARIABLE.finditer(text)
        # `LONGHAUL_RESULTS_HIGH_...` stands for all that begin so.
        if not (text[match.end() :].startswith("_...") and any(name.startswith(match[0]) for name in settings))
    }
    # The misspelt one is the example of a mistake.
    assert named - settings <= {"LONGHAUL_REDIS_ULR"}


def test_the_table_of_settings_is_that_of_the_settings() -> None:
    assert settings_table.page() == settings_table.PAGE.read_text(), "run `make docs-settings`"


def test_every_setting_has_one_row_with_type_default_unit_and_meaning() -> None:
    rows = settings_table.rows()
    assert [row.field for row in rows] == list(Settings.model_fields)
    table = settings_table.table()
    for row in rows:
        assert len(re.findall(rf"^\| `{row.variable}` \|", table, re.MULTILINE)) == 1
        assert row.type
        assert row.default
        assert row.meaning.endswith("."), f"{row.variable}: has no docstring, or it is no sentence"
    numbers = {name for name, field in Settings.model_fields.items() if field.annotation in {int, float}}
    assert {row.field for row in rows if row.unit} == numbers
    assert set(settings_table.COUNTED) <= numbers
    # A time is a float; an int that is neither counted nor a size has no unit yet.
    wrong = {row.field for row in rows if row.unit == "s" and Settings.model_fields[row.field].annotation is int}
    assert wrong == set()


def test_every_command_and_every_argument_has_a_row() -> None:
    reference = ROOT / "docs" / "reference"
    commands = re.findall(r"^\| `longhaul (\w+)", (reference / "command.md").read_text(), re.MULTILINE)
    assert sorted(commands) == sorted(command.commands)
    parts = re.split(r"^## ", (reference / "tasks.md").read_text(), flags=re.MULTILINE)
    for task, arguments in (("jobs.submit", job_arguments.ARGUMENTS), ("crawls.create", crawl_arguments.ARGUMENTS)):
        (part,) = [part for part in parts if part.startswith(f"`{task}`\n")]
        cells = re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE)
        assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(arguments)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_former_word_is_left(page: Path) -> None:
    text = prose(page.read_text()).lower()
    found = {match[0]: words for word, words in FORMER.items() for match in re.finditer(rf"\b(?:{word})\b", text)}
    assert found == {}


def test_the_glossary_has_the_words_of_the_project_in_a_line_each() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    lines = [line for line in text.splitlines()[1:] if line and not line.startswith("#")][1:]
    assert [line for line in lines if not re.match(r"- \*\*[A-Z]", line)] == []
    explained = " ".join(re.findall(r"\*\*([^*]+)\*\*", text)).lower()
    assert [word for word in NEW if word not in explained] == []
