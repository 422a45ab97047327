"""The scripts run from an event loop as they do from a thread."""

import asyncio

import pytest
from redis.exceptions import ResponseError

from longhaul.ledger.async_lua import AsyncLua
from longhaul.ledger.connection import connect_loop
from longhaul.ledger.lua import Lua, ScriptCall

TABLE = {"open": ["done"], "done": ()}
SPACE = "longhaul:{test}"


@pytest.fixture
def run(redis, redis_url):
    """Runs calls in one loop, each list in one round trip; the answers to the last."""

    def run(*rounds):
        async def scenario():
            loop_redis = connect_loop(redis_url)
            scripts = AsyncLua(Lua(redis, SPACE, TABLE), loop_redis)
            try:
                return [await scripts.run_all(calls) for calls in rounds][-1]
            finally:
                await loop_redis.aclose()

        return asyncio.run(scenario())

    return run


def create(id_):
    return ScriptCall("create", ["1", id_, "open", "lane", 0, 0])


def finish(id_):
    return ScriptCall("finish", ["1", id_, "0", "done", 60, "", "", "", "", 0, "", "", "", 0, 0])


def test_a_server_that_knows_no_script_is_taught_and_each_call_runs_once(run, redis):
    redis.script_flush()
    assert run([create("a"), finish("a"), create("a"), create("b")]) == [[1], "finished", [0], [1]]
    assert redis.hget(f"{SPACE}:books", "submitted") == "2"


def test_where_one_of_two_scripts_was_forgotten_only_its_calls_are_made_again(run, redis):
    redis.script_flush()
    assert run([create("a")], [create("b"), finish("a"), create("c")]) == [[1], "finished", [1]]


def test_an_error_is_raised_after_all_calls_have_run(run, redis):
    redis.set(f"{SPACE}:record:a", "not a hash")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        run([ScriptCall("cancel", ["1", "a", "lane"]), create("b")])
    assert redis.hget(f"{SPACE}:record:b", "state") == "open"
