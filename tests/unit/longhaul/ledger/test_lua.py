import pytest
from redis.exceptions import ResponseError

from longhaul.ledger.lua import Lua, ScriptCall, _lua_table

TABLE = {"open": ["done", "shut"], "done": (), "shut": frozenset()}
SPACE = "longhaul:{test}"


@pytest.fixture
def lua(redis):
    return Lua(redis, SPACE, TABLE)


def create(id_):
    return ScriptCall("create", ["1", id_, "open", "lane", 0, 0])


def test_the_table_says_what_can_follow_what_and_what_can_be_left():
    assert _lua_table(TABLE) == '{["open>done"] = true, ["open>shut"] = true, ["open>"] = true}'


def test_a_server_that_knows_no_script_is_taught_and_the_call_runs(lua, redis):
    assert lua.run("create", *create("a").args) == [1]
    redis.script_flush()
    assert lua.run("create", *create("b").args) == [1]


def test_several_calls_in_one_round_trip_answer_in_order_even_where_some_scripts_were_forgotten(lua, redis):
    lua.run("create", *create("a").args)
    redis.script_flush()
    finish = ScriptCall("finish", ["1", "a", "0", "done", 60, "", "", "", "", 0, "", "", "", 0, 0])
    assert lua.run_all([create("a"), finish, create("b"), create("b")]) == [[0], "finished", [1], [0]]


def test_a_script_that_was_forgotten_between_two_calls_runs_once(lua, redis):
    lua.run_all([create("a"), create("b")])
    redis.script_flush()
    lua.run_all([create("c"), create("d")])
    assert redis.hget(f"{SPACE}:books", "submitted") == "4"


def test_where_one_of_two_scripts_was_forgotten_only_its_calls_are_made_again(lua, redis):
    lua.run("create", *create("a").args)
    redis.script_flush()
    lua.run("create", *create("b").args)
    finish = ScriptCall("finish", ["1", "a", "0", "done", 60, "", "", "", "", 0, "", "", "", 0, 0])
    assert lua.run_all([create("c"), finish, create("d")]) == [[1], "finished", [1]]


def test_an_error_is_raised_after_all_calls_have_run(lua, redis):
    redis.set(f"{SPACE}:record:a", "not a hash")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        lua.run_all([ScriptCall("cancel", ["1", "a", "lane"]), create("b")])
    assert redis.hget(f"{SPACE}:record:b", "state") == "open"


def test_two_spaces_share_nothing(redis):
    one, two = Lua(redis, "longhaul:{one}", TABLE), Lua(redis, "longhaul:{two}", TABLE)
    assert one.run("create", *create("a").args) == two.run("create", *create("a").args) == [1]
    assert {key.partition("}")[0] for key in redis.scan_iter()} == {"longhaul:{one", "longhaul:{two"}
