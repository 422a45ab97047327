"""What a script consists of, as the server runs it."""

import pytest

from longhaul.ledger.script import load_script
from longhaul.ledger.script_header import HeaderError


def test_a_file_of_functions_is_no_script_to_call():
    with pytest.raises(HeaderError, match=r"batches\.lua: a file of functions, for its header has no ARGS"):
        load_script("batches")


def test_functions_that_use_others_stand_after_them_and_each_once(tmp_path):
    (tmp_path / "first.lua").write_text("-- F.\nlocal first = 1\n")
    (tmp_path / "second.lua").write_text("-- S.\n-- USES: first\nlocal second = first\n")
    (tmp_path / "script.lua").write_text("-- X.\n-- USES: second, first\n-- ARGS: id\nreturn second\n")
    files = [part.file for part in load_script("script", tmp_path).parts if part.file]
    assert files == ["prelude.lua", "first.lua", "second.lua", "script.lua"]


def test_the_table_of_transitions_stands_only_where_it_is_read():
    assert "local TRANSITIONS = {x}" in load_script("move", transitions="{x}").text
    assert "TRANSITIONS" not in load_script("claim", transitions="{x}").text


def test_keys_that_are_given_come_by_name(redis, tmp_path):
    (tmp_path / "given.lua").write_text(
        "-- X.\n-- GIVEN KEYS: one, others[]\n-- ARGS: value\nreturn {one, #others, others[2], value}\n"
    )
    script = load_script("given", tmp_path)
    assert redis.eval(script.text, 3, "a", "b", "c", *script.arguments.of({"value": 5})) == ["a", 2, "c", "5"]
