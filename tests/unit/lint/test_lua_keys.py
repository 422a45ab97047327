"""The docstrings of the packages name the keys of their spaces: just those that the headers of their scripts name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import longhaul.crawls
import longhaul.ledger
import service.crawls
import service.jobs
from longhaul.ledger.script_header import parse_header


def documented(module) -> set[str]:
    """The key families in a docstring, but for those whose name is a parameter."""
    return set(re.findall(r"^    <space>:(\w+)", module.__doc__, re.MULTILINE))


def named(module) -> set[str]:
    """The key families in the headers of a package's scripts."""
    files = sorted((Path(module.__file__).parent / "scripts").glob("*.lua"))
    assert files
    return {key for file in files for key in parse_header(file.name, file.read_text()).keys}


def test_the_ledgers_keys_are_documented_and_no_others():
    assert documented(longhaul.ledger) == named(longhaul.ledger)


@pytest.mark.parametrize(
    ("module", "blobs"), [(longhaul.crawls, set()), (service.crawls, set()), (service.jobs, {"request"})]
)
def test_a_space_documents_its_keys_beside_the_ledgers(module, blobs):
    assert documented(module) - blobs == named(module) - documented(longhaul.ledger)
