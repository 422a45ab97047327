"""Pushing: the document that the status URL gives, POSTed to the caller's callback. Three tries, then it is given up
(contract: webhooks).

What is to be pushed is due work in the ledger like everything else, so the pauses survive a restart.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self, assert_never

from aiohttp import BaseConnector, ClientError, ClientSession, ClientTimeout, DummyCookieJar, NonHttpUrlClientError

PAUSES = (3.0, 60.0)
"""Seconds after the first and the second try; after the third there is no other."""
TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class PushTaken:
    """The receiver answered 2xx."""


@dataclass(frozen=True, slots=True)
class PushRefused:
    """The receiver answered something else, or nothing."""

    words: str


@dataclass(frozen=True, slots=True)
class PushTooEarly:
    """Not tried: the fault dial wants it at `at` (epoch seconds)."""

    at: float


@dataclass(frozen=True, slots=True)
class NothingToPush:
    """The result is too old to be there: there is nothing to push."""


Push = PushTaken | PushRefused | PushTooEarly | NothingToPush


@dataclass(frozen=True, slots=True)
class NextTry:
    """When it is tried again, epoch seconds; None: not again. `uncounted`: this was no try."""

    at: float | None
    uncounted: bool = False


def after(push: Push, tries: int, now: float) -> NextTry:
    """What follows from a try, the `tries`-th. Pure."""
    match push:
        case PushTaken() | NothingToPush():
            return NextTry(None)
        case PushTooEarly(at=at):
            return NextTry(at, uncounted=True)
        case PushRefused():
            return NextTry(now + PAUSES[tries - 1] if tries <= len(PAUSES) else None)
        case _:
            assert_never(push)


class Pusher:
    """Delivers over the connections of one round, within a `with`."""

    def __init__(self, connections: BaseConnector) -> None:
        # No receiver's cookie reaches another.
        self._session = ClientSession(
            connector=connections, connector_owner=False, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.detach()

    async def push(self, url: str, document: bytes) -> Push:
        """One try. User and password in `url` become basic authentication; a redirect is not followed, for it would
        lose the body.
        """
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._session.post(
                    url, data=document, headers={"content-type": "application/json"}, allow_redirects=False
                ) as response,
            ):
                return PushTaken() if response.status < 300 else PushRefused(f"HTTP {response.status}")  # noqa: PLR2004
        except TimeoutError:
            return PushRefused(f"no answer in {TIMEOUT:g} s")
        except (ValueError, NonHttpUrlClientError) as error:
            # aiohttp's InvalidURL is a ValueError, too, and the words of both are the address, with a password in it
            # perhaps.
            return PushRefused(type(error).__name__)
        except (ClientError, OSError) as error:
            return PushRefused(f"{type(error).__name__}: {error}")
