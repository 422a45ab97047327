import pytest
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from longhaul.ledger.due import Due
from longhaul.ledger.lua import Lua, _lua_table, unwrapped

TABLE = {"open": ["done", "shut"], "done": (), "shut": frozenset()}
SPACE = "longhaul:{test}"


@pytest.fixture
def lua(redis):
    return Lua(redis, SPACE, TABLE)


def create(lua, id_):
    record = {"id": id_, "state": "open", "lane": "lane", "fields": {}, "blobs": {}}
    return lua.call("create", records=[record])


@pytest.fixture
def finish(redis):
    return Due(redis, SPACE, TABLE).finishing("a", 0, "done", keep=60)


def test_the_table_says_what_can_follow_what_and_what_can_be_left():
    assert _lua_table(TABLE) == '{["open>done"] = true, ["open>shut"] = true, ["open>"] = true}'


def test_a_server_that_knows_no_script_is_taught_and_the_call_runs(lua, redis):
    assert lua.run_all([create(lua, "a")]) == [[1]]
    redis.script_flush()
    assert lua.run_all([create(lua, "b")]) == [[1]]


def test_several_calls_in_one_round_trip_answer_in_order_even_where_some_scripts_were_forgotten(lua, redis, finish):
    lua.run_all([create(lua, "a")])
    redis.script_flush()
    assert lua.run_all([create(lua, "a"), finish, create(lua, "b"), create(lua, "b")]) == [[0], "finished", [1], [0]]


def test_a_script_that_was_forgotten_between_two_calls_runs_once(lua, redis):
    lua.run_all([create(lua, "a"), create(lua, "b")])
    redis.script_flush()
    lua.run_all([create(lua, "c"), create(lua, "d")])
    assert redis.hget(f"{SPACE}:books", "submitted") == "4"


def test_where_one_of_two_scripts_was_forgotten_only_its_calls_are_made_again(lua, redis, finish):
    lua.run_all([create(lua, "a")])
    redis.script_flush()
    lua.run_all([create(lua, "b")])
    assert lua.run_all([create(lua, "c"), finish, create(lua, "d")]) == [[1], "finished", [1]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"id": "a"}, "arguments missing lane, state"),
        ({"id": "a", "lane": "l", "state": "", "fence": 1}, "arguments unknown fence"),
        ({"id": "a", "lan": "l", "state": ""}, "arguments missing lane; unknown lan"),
    ],
)
def test_a_call_with_other_arguments_than_the_header_is_refused(lua, given, words):
    with pytest.raises(TypeError, match=rf"^cancel\.lua: {words}$"):
        lua.call("cancel", **given)


def test_what_repeats_is_checked_as_well(lua):
    with pytest.raises(TypeError, match=r"^create\.lua, records: arguments missing blobs, lane; unknown lanes$"):
        lua.call("create", records=[{"id": "a", "state": "open", "lanes": "l", "fields": {}}])


def test_the_time_is_the_servers_unless_a_clock_is_given(redis):
    assert Lua(redis, SPACE, TABLE, clock=lambda: 17.5).run("books")[0] == "17.500"
    seconds, _ = redis.time()
    assert abs(float(Lua(redis, SPACE, TABLE).run("books")[0]) - float(seconds)) < 60


@pytest.mark.parametrize(("words", "error"), [("OOM command", OutOfMemoryError), ("READONLY You", ReadOnlyError)])
def test_an_error_that_an_old_server_hides_in_the_scripts_own_is_itself(words, error):
    hidden = ResponseError(f"Error running script (call to f_1): @user_script:41: @user_script: 41: -{words} ...")
    other, fine = ResponseError(f"WRONGTYPE {words}"), ["1"]
    found = unwrapped([fine, hidden, other])
    assert type(found[1]) is error
    assert (found[0], found[2]) == (fine, other)


def test_an_error_is_raised_after_all_calls_have_run(lua, redis):
    redis.set(f"{SPACE}:record:a", "not a hash")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        lua.run_all([lua.call("cancel", id="a", lane="lane", state=None), create(lua, "b")])
    assert redis.hget(f"{SPACE}:record:b", "state") == "open"


def test_two_spaces_share_nothing(redis):
    one, two = Lua(redis, "longhaul:{one}", TABLE), Lua(redis, "longhaul:{two}", TABLE)
    assert one.run_all([create(one, "a")]) == two.run_all([create(two, "a")]) == [[1]]
    assert {key.partition("}")[0] for key in redis.scan_iter()} == {"longhaul:{one", "longhaul:{two"}
