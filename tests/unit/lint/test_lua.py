"""What the linter of our Lua refuses, one small script each; and that it finds nothing in the scripts that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lint.lua import lint, scripts

HEADER = """\
-- Count what an id has.
-- ARGS: now, id
-- KEYS: record
-- RETURNS: a number
"""
BODY = "return redis.call('HINCRBY', key('record', id), seconds(now), 1)\n"


@pytest.fixture
def faults(tmp_path: Path):
    """What is wrong with a script, as `line: words`; `files` are further ones of its folder."""

    def faults(source: str, **files: str) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in {"script": source, **files}.items():
            (folder / f"{name}.lua").write_text(text)
        found = lint(sorted(folder.glob("*.lua")))
        return [str(fault).removeprefix("script.lua:") for fault in found]

    return faults


def test_there_is_nothing_wrong_with_the_scripts_of_the_project():
    files = list(scripts())
    assert {"claim.lua", "record_pages.lua", "claim_pages.lua", "read_run.lua", "take_message.lua"} <= {
        file.name for file in files
    }
    assert lint(files) == []
    assert len({file.name for file in files}) == len(files)


def test_a_sound_script_passes(faults):
    assert faults(HEADER + BODY) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("print(id)", "print is not declared"),
        ("local x = y", "y is not declared"),
        ("total = 1", "total is not declared: a script may not set a global"),
        ("function total() end", "total is not declared: a script may not set a global"),
        ("if id then local inner = 1 end; tostring(inner)", "inner is not declared"),
        ("tostring(ARGV[1])", "ARGV: the header's names stand for it"),
        ("tostring(KEYS[1])", "KEYS: the header's names stand for it"),
        ("redis.cal('TIME')", "redis.cal: no such function"),
        ("string.trim(id)", "string.trim: no such function"),
        (
            "redis.call('FLUSHALL')",
            "'FLUSHALL': a command that the linter does not know; say there where its keys stand",
        ),
        ("redis.call(id)", "id: a command that the linter does not know; say there where its keys stand"),
    ],
)
def test_an_undeclared_global_and_an_unknown_function_are_refused(faults, line, words):
    found = faults(f"{HEADER}{line}\n{BODY}")
    assert f"5: {words}" in found
    assert all("never used" in fault for fault in found if words not in fault)


@pytest.mark.parametrize("key", ["'record:' .. id", "space .. ':record:' .. id", "id", "seconds(now)"])
def test_a_key_that_is_not_made_of_a_family_is_refused(faults, key):
    found = faults(f"{HEADER}local one = {key}\nredis.call('DEL', one)\nredis.call('GET', {key})\n{BODY}")
    about_keys = [fault for fault in found if "a key is key('family', id)" in fault]
    assert len(about_keys) == (0 if key == "id" else 2)
    # An argument may be a key, but the header has to say so.
    assert ("1: its header does not name the argument that is a key, id" in found) == (key == "id")


def test_a_key_family_that_cannot_be_read_off_is_refused(faults):
    words = "the family of a key is a literal, or an argument that the header names under KEYS"
    assert faults(f"{HEADER}local family = 're' .. 'cord'\nredis.call('DEL', key(family, id))\n{BODY}") == [
        f"6: family: {words}"
    ]


def test_the_header_names_the_keys_that_the_script_touches_and_no_others(faults):
    more = "for _, family in ipairs({'seen', 'next'}) do redis.call('DEL', key(family, id)) end\n"
    assert faults(HEADER + more + BODY) == [
        "1: its header does not name the key next",
        "1: its header does not name the key seen",
    ]
    assert faults(HEADER.replace("KEYS: record", "KEYS: record, books") + BODY) == [
        "1: its header names the key books, which it does not touch"
    ]


def test_the_keys_of_the_functions_that_it_uses_are_keys_of_the_script(faults):
    assert faults(f"{HEADER}place(id, 'lane', now)\n{BODY}") == [
        "1: its header does not name the key due",
        "1: its header does not name the key lanes",
    ]


def test_arguments_that_are_keys_are_named_as_such(faults):
    source = "-- X.\n-- ARGS: stream, blobs[]\n-- KEYS: record{}\n-- RETURNS: nothing\n"
    source += "redis.call('XLEN', stream)\nredis.call('XLEN', key('record'))\n"
    source += "for _, blob in ipairs(blobs) do redis.call('DEL', key(blob, 'a')) end\n"
    assert faults(source.replace("{}", "; from ARGS: stream, blobs")) == []
    assert faults(source.replace("{}", "")) == [
        "1: its header does not name the argument that is a key, blobs",
        "1: its header does not name the argument that is a key, stream",
    ]


def test_an_argument_that_is_never_used_is_refused(faults):
    assert faults(HEADER.replace("now, id", "now, id, fence, names[]") + BODY) == [
        "1: its header names fence, which it does not touch",
        "1: its header names names, which it does not touch",
    ]


def test_what_repeats_is_gone_over_once_with_the_names_of_the_header(faults):
    header = "-- X.\n-- ARGS: rows...(id, count:number)\n-- KEYS: record\n-- RETURNS: nothing\n"
    loop = "for id, count in rows do redis.call('HINCRBY', key('record', id), 'n', count) end\n"
    assert faults(header + loop) == []
    assert faults(header + loop.replace("count", "number")) == ["5: rows: its header names id, count"]
    assert faults(header + loop + loop) == ["6: rows: its header says that it repeats, so one `for` goes over it"]


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("-redis.call('HLEN', key('record', id))", True),
        ("-now", True),
        ("- #id", True),
        ("now * -1", True),
        ("-1 * now", True),
        ("0 - redis.call('HLEN', key('record', id))", False),
        ("-1", False),
        ("'-inf'", False),
    ],
)
def test_a_minus_in_front_of_what_may_be_zero_is_refused(faults, value, refused):
    found = faults(f"{HEADER}local n = {value}\nredis.call('HSET', key('record', id), 'n', n)\n{BODY}")
    assert [fault.partition(": ")[0] for fault in found if "-0" in fault] == ["5"] * refused
    assert len(found) == refused


def test_a_line_is_not_too_long(faults):
    assert faults(f"{HEADER}-- {'x' * 117}\n{BODY}") == []
    assert faults(f"{HEADER}-- {'x' * 118}\n{BODY}") == ["5: 121 columns: 120 are the most"]


def test_what_is_no_lua_is_refused(faults):
    assert faults(f"{HEADER}{BODY}if id then\n")[0].endswith("no Lua")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("-- ARGS: now, id\n-- KEYS: record\n-- RETURNS: x\n", "its header has no purpose"),
        ("-- X.\n-- ARGS: now, id\n-- KEYS: record\n", "its header has no RETURNS"),
        ("-- X.\n-- ARGS: now, id!\n-- KEYS: record\n-- RETURNS: x\n", "script.lua: 'id!' is no argument"),
        ("-- X.\n-- ARGS: now, id, id\n-- KEYS: record\n", "script.lua: the argument id stands there twice"),
        ("-- X.\n-- ARGS: now[], id\n-- KEYS: record\n", "script.lua: the argument id stands after a list"),
        ("-- X.\n-- ARGS: now, id\n-- ARGS: x\n", "script.lua: its header has ARGS twice"),
    ],
)
def test_a_header_that_is_not_whole_is_refused(faults, header, words):
    assert f"1: {words}" in faults(header + BODY)


def test_locals_that_are_never_used_are_refused(faults):
    functions = "local function one() return 1 end\nlocal function two() return one() end\nlocal _ = 1\n"
    assert faults(HEADER + functions + BODY) == ["6: two is declared, but never used"]


def test_functions_for_others_are_used_by_one_of_them(faults):
    functions = "-- Functions.\nlocal function used(x) return x end\nlocal function unused(x) return x end\n"
    source = HEADER.replace("-- ARGS", "-- USES: functions\n-- ARGS") + BODY.replace("seconds(now)", "used(now)")
    assert faults(source, functions=functions) == ["functions.lua:3: unused: no script uses this function"]
    other = source.replace("used(now)", "unused(now)")
    assert faults(source, functions=functions, other=other) == []
    assert faults(HEADER + BODY, functions=functions) == ["functions.lua:1: no script uses this file"]
    assert "No such file" in faults(source)[0]


def test_a_script_that_is_given_its_keys_names_them(faults):
    source = "-- X.\n-- GIVEN KEYS: one, others[]\n-- ARGS: value\n-- RETURNS: nothing\n"
    source += "for _, other in ipairs(others) do redis.call('SET', other, value) end\n"
    assert faults(f"{source}redis.call('SET', one, value)\n") == []
    assert faults(f"{source}redis.call('SET', 'two', value)\n") == [
        "1: its header names one, which it does not touch",
        "6: 'two': a key is key('family', id), or an argument that the header names under KEYS",
    ]
