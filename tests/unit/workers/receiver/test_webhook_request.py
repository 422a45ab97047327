"""What a webhook request brings: a password, a body of bounded length, JSON."""

import asyncio
import base64
import logging

import pytest
from starlette.requests import ClientDisconnect

from longhaul.scraperapi.crawl_models import NoEvent
from longhaul.scraperapi.models import RawJson
from workers.receiver.app import log_no_addresses
from workers.receiver.webhook_request import INLINE_BYTES, body_of, document_of, password_of


def basic(text):
    return b"Basic " + base64.b64encode(text)


@pytest.mark.parametrize(
    ("headers", "password"),
    [
        ([], ""),
        ([(b"authorization", basic(b"user:secret"))], "secret"),
        ([(b"host", b"x"), (b"authorization", b"basic" + basic(b"user:a:b")[5:])], "a:b"),
        ([(b"authorization", b"Bearer " + base64.b64encode(b"user:secret"))], ""),
        ([(b"authorization", b"Basic !")], ""),
        ([(b"authorization", basic(b"user:\xff"))], ""),
        ([(b"authorization", b"Basic \xe4")], ""),
        ([(b"authorization", b"")], ""),
    ],
)
def test_the_password_is_that_of_basic_auth(headers, password):
    assert password_of({"headers": headers}) == password


def received(*messages, limit=10):
    queue = iter(messages)

    async def receive():
        return next(queue)

    return asyncio.run(body_of(receive, limit))


def part(body, *, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_comes_in_parts_and_is_read_no_further_than_its_bound():
    assert received(part(b"12345"), part(b"67890", more=False)) == b"1234567890"
    assert received({"type": "http.request"}) == b""
    assert received(part(b"12345"), part(b"678901")) is None


def test_a_body_that_does_not_come_to_its_end_is_none():
    with pytest.raises(ClientDisconnect):
        received(part(b"12"), {"type": "http.disconnect"})


@pytest.mark.parametrize("length", [10, INLINE_BYTES + 1])
def test_a_long_document_is_read_like_a_short_one(length):
    text = "x" * length
    data = f'{{"response":{{"body":"{text}"}}}}'.encode()
    assert asyncio.run(document_of(data)) == {"response": {"body": text}}
    assert asyncio.run(document_of(data, carrying=True)) == {"response": {"body": RawJson(f'"{text}"'.encode())}}
    assert asyncio.run(document_of(data + b"x")) == asyncio.run(document_of(data + b"x", carrying=True))
    assert isinstance(asyncio.run(document_of(data + b"x")), NoEvent)


def test_what_cannot_be_carried_is_read_as_ever():
    assert asyncio.run(document_of(b'{"response":{"body":["a"]}}', carrying=True)) == {"response": {"body": ["a"]}}


def test_no_access_log_tells_the_addresses():
    access = logging.getLogger("uvicorn.access")
    access.addHandler(logging.NullHandler())
    log_no_addresses()
    assert not access.hasHandlers()
