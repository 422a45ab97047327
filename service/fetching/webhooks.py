"""Webhooks: one document POSTed to the callback of its job or crawl. Three attempts, then it is given up (contract:
webhooks).

What is to be delivered is due work in the ledger, like everything else, so the pauses survive a restart.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self, assert_never

from aiohttp import BaseConnector, ClientError, ClientSession, ClientTimeout, DummyCookieJar, NonHttpUrlClientError

PAUSES_SECONDS = (3.0, 60.0)
"""Pauses after the first and the second attempt; there is no fourth attempt."""
TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class DeliveryAccepted:
    """The receiver answered 2xx."""


@dataclass(frozen=True, slots=True)
class DeliveryRefused:
    """The receiver answered something else, or nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeliveryDelayed:
    """No attempt was made: the fault dial delays it until `at` (epoch seconds)."""

    at: float


@dataclass(frozen=True, slots=True)
class NothingToDeliver:
    """There is no document any more: the result has expired, or nobody knows the crawl."""


DeliverySeen = DeliveryAccepted | DeliveryRefused | DeliveryDelayed | NothingToDeliver


@dataclass(frozen=True, slots=True)
class NextDelivery:
    """When the next attempt is made, epoch seconds; None: there is none. `uncounted`: no attempt was made this time."""

    at: float | None
    uncounted: bool = False


def next_delivery(seen: DeliverySeen, attempts: int, now: float) -> NextDelivery:
    """What follows from attempt number `attempts`. Pure."""
    match seen:
        case DeliveryAccepted() | NothingToDeliver():
            return NextDelivery(None)
        case DeliveryDelayed(at=at):
            return NextDelivery(at, uncounted=True)
        case DeliveryRefused():
            return NextDelivery(now + PAUSES_SECONDS[attempts - 1] if attempts <= len(PAUSES_SECONDS) else None)
        case _:
            assert_never(seen)


class WebhookSender:
    """Delivers documents over the connections of one round. A context manager."""

    def __init__(self, connections: BaseConnector) -> None:
        # Without a cookie jar: a cookie of one receiver must not reach another.
        self._session = ClientSession(
            connector=connections, connector_owner=False, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.detach()

    async def deliver(self, url: str, document: bytes) -> DeliverySeen:
        """One attempt. User and password in `url` become basic authentication; a redirect is not followed, because
        following one would drop the body.
        """
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._session.post(
                    url, data=document, headers={"content-type": "application/json"}, allow_redirects=False
                ) as response,
            ):
                accepted = response.status < 300  # noqa: PLR2004
                return DeliveryAccepted() if accepted else DeliveryRefused(f"HTTP {response.status}")
        except TimeoutError:
            return DeliveryRefused(f"no answer in {TIMEOUT_SECONDS:g} s")
        except (ValueError, NonHttpUrlClientError) as error:
            # The type only: the message of either error (aiohttp's InvalidURL is a ValueError) quotes the address,
            # which may carry a password.
            return DeliveryRefused(type(error).__name__)
        except (ClientError, OSError) as error:
            return DeliveryRefused(f"{type(error).__name__}: {error}")
