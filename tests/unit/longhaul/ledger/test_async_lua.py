"""The scripts run from an event loop as they do from a thread."""

import asyncio

import pytest
from redis.exceptions import ResponseError

from longhaul.ledger.async_lua import AsyncLua
from longhaul.ledger.connection import connect_loop
from longhaul.ledger.due import Due
from longhaul.ledger.lua import Lua

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


@pytest.fixture
def create(redis):
    def create(id_):
        record = {"id": id_, "state": "open", "lane": "lane", "fields": {}, "blobs": {}}
        return Lua(redis, SPACE, TABLE).call("create", records=[record])

    return create


@pytest.fixture
def finish(redis):
    return Due(redis, SPACE, TABLE).finishing("a", 0, "done", keep=60)


def test_a_server_that_knows_no_script_is_taught_and_each_call_runs_once(run, redis, create, finish):
    redis.script_flush()
    assert run([create("a"), finish, create("a"), create("b")]) == [[1], "finished", [0], [1]]
    assert redis.hget(f"{SPACE}:books", "submitted") == "2"


def test_where_one_of_two_scripts_was_forgotten_only_its_calls_are_made_again(run, redis, create, finish):
    redis.script_flush()
    assert run([create("a")], [create("b"), finish, create("c")]) == [[1], "finished", [1]]


def test_an_error_is_raised_after_all_calls_have_run(run, redis, create):
    redis.set(f"{SPACE}:record:a", "not a hash")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        run([Lua(redis, SPACE, TABLE).call("cancel", id="a", lane="lane", state=None), create("b")])
    assert redis.hget(f"{SPACE}:record:b", "state") == "open"
