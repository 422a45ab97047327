from __future__ import annotations

import asyncio

import pytest
from aiohttp import TCPConnector

from service.fetching.webhooks import NextTry, NothingToPush, Push, Pusher, PushRefused, PushTaken, PushTooEarly, after

NOW = 1000.0


def test_three_tries_with_growing_pauses_then_given_up() -> None:
    assert [after(PushRefused("HTTP 500"), tries, NOW) for tries in (1, 2, 3)] == [
        NextTry(NOW + 3),
        NextTry(NOW + 60),
        NextTry(None),
    ]


def test_what_was_taken_is_done() -> None:
    assert after(PushTaken(), 1, NOW) == NextTry(None)
    assert after(NothingToPush(), 2, NOW) == NextTry(None)


def test_too_early_is_no_try() -> None:
    assert after(PushTooEarly(NOW + 5), 1, NOW) == NextTry(NOW + 5, uncounted=True)


@pytest.mark.parametrize(
    "url", ["http://me:pass-word@ho st:x/", "http://me:pass-word@h:99999/", "http://me:pass-word@/", "me:pass-word"]
)
def test_the_words_of_an_address_that_is_none_do_not_quote_it(url: str) -> None:
    async def push() -> Push:
        async with TCPConnector() as connections:
            with Pusher(connections) as pusher:
                return await pusher.push(url, b"{}")

    refused = asyncio.run(push())
    assert isinstance(refused, PushRefused)
    assert refused.words
    assert "pass-word" not in refused.words
