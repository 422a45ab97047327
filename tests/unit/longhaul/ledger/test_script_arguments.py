"""What Python gives by name is what the script reads by name, on a real server."""

import json

import pytest

from longhaul.ledger.lua import Lua
from longhaul.ledger.script import load_script
from longhaul.ledger.script_header import HeaderError

HEADER = """\
-- Say what has arrived.
-- ARGS: now, id, missing?
--       present?                   a remark, with a comma
--       count:number, none:number?, on:flag, off:flag
--       names[], fields{}
--       rows...(name, size:number?, last:flag, tags[], more{})
-- RETURNS: JSON
"""
BODY = """\
local seen = {}
for name, size, last, tags, more in rows do
  seen[#seen + 1] = {name, size or 'nil', last, #tags, tags[1] or 'nil', #more, more[2] or 'nil'}
end
return cjson.encode({
  now, id, missing or 'nil', present or 'nil', count + 1, none or 'nil', on, off, #names, names[1] or 'nil',
  fields, seen,
})
"""
VALUES = {
    "id": "a",
    "missing": None,
    "present": "here",
    "count": 2.5,
    "none": None,
    "on": True,
    "off": False,
    "names": [],
    "fields": {},
    "rows": [],
}


@pytest.fixture
def say(redis, tmp_path):
    (tmp_path / "say.lua").write_text(HEADER + BODY)
    lua = Lua(redis, "longhaul:{test}", {}, own=tmp_path, clock=lambda: 17.5)
    return lambda **values: json.loads(lua.run("say", **{**VALUES, **values}))


def test_each_shape_arrives_under_its_name(say):
    assert say() == [17.5, "a", "nil", "here", 3.5, "nil", True, False, 0, "nil", {}, {}]
    some = say(missing="", none=4, off=1, names=["x", b"y"], fields={"b": 1, "a": "two"})
    assert some == [17.5, "a", "nil", "here", 3.5, 4, True, True, 2, "x", ["b", "1", "a", "two"], {}]


def test_what_repeats_arrives_in_order(say):
    rows = [
        {"name": "one", "size": None, "last": False, "tags": [], "more": {}},
        {"name": "two", "size": 7, "last": True, "tags": ["t", "u"], "more": {"k": "v"}},
    ]
    assert say(rows=rows)[-1] == [
        ["one", "nil", False, 0, "nil", 0, "nil"],
        ["two", 7, True, 2, "t", 2, "v"],
    ]


def test_a_list_may_be_longer_than_lua_can_unpack(say):
    assert say(names=["x"] * 20_000)[8] == 20_000


def test_bytes_arrive_as_they_are(redis, tmp_path):
    (tmp_path / "say.lua").write_text("-- X.\n-- ARGS: id\nreturn redis.sha1hex(id)\n")
    lua = Lua(redis, "longhaul:{test}", {}, own=tmp_path)
    assert lua.run("say", id=b"\xff\x00") == "da33e41954997c24ad31f6c1845e18510b384f67"


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
