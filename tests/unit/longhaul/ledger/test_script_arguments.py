"""What Python gives by name is what the script reads by name, on a real server."""

import json

import pytest

from longhaul.ledger.lua import Lua

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
