from __future__ import annotations

import asyncio

import pytest
from aiohttp import TCPConnector

from service.fetching.webhooks import (
    DeliveryAccepted,
    DeliveryDelayed,
    DeliveryRefused,
    DeliverySeen,
    NextDelivery,
    NothingToDeliver,
    WebhookSender,
    next_delivery,
)

NOW = 1000.0


def test_three_attempts_with_growing_pauses_then_given_up() -> None:
    assert [next_delivery(DeliveryRefused("HTTP 500"), attempts, NOW) for attempts in (1, 2, 3)] == [
        NextDelivery(NOW + 3),
        NextDelivery(NOW + 60),
        NextDelivery(None),
    ]


def test_what_was_accepted_is_done() -> None:
    assert next_delivery(DeliveryAccepted(), 1, NOW) == NextDelivery(None)
    assert next_delivery(NothingToDeliver(), 2, NOW) == NextDelivery(None)


def test_a_delay_is_not_an_attempt() -> None:
    assert next_delivery(DeliveryDelayed(NOW + 5), 1, NOW) == NextDelivery(NOW + 5, uncounted=True)


@pytest.mark.parametrize(
    "url", ["http://me:pass-word@ho st:x/", "http://me:pass-word@h:99999/", "http://me:pass-word@/", "me:pass-word"]
)
def test_the_error_for_an_invalid_address_does_not_quote_it(url: str) -> None:
    async def deliver() -> DeliverySeen:
        async with TCPConnector() as connections:
            with WebhookSender(connections) as sender:
                return await sender.deliver(url, b"{}")

    refused = asyncio.run(deliver())
    assert isinstance(refused, DeliveryRefused)
    assert refused.reason
    assert "pass-word" not in refused.reason
