"""One attempt at a target: the only I/O with the web. Every way it can end is a `FetchOutcome`; nothing that a target
does raises.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self

import structlog
from aiohttp import (
    BaseConnector,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    CookieJar,
    InvalidURL,
    NonHttpUrlClientError,
    TooManyRedirects,
)

from longhaul.scraperapi.protocol import dump_json, read_retry_after
from service.fetching import formats
from service.fetching.egress import PrivateAddress
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import Answered, FetchOutcome, Hopeless, Trouble

CHUNK_BYTES = 64 * 1024
"""Bytes read at once. A page of at most this size is also parsed in the event loop; a bigger one in a thread."""
MAX_HEADER_BYTES = 64 * 1024
SHORTEST_ATTEMPT_SECONDS = 1.0
"""Seconds that the last attempt gets, however little time is left."""
USER_AGENTS = {
    "desktop": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Safari/537.36"
    ),
    "mobile": (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Mobile Safari/537.36"
    ),
}
_CONNECTION_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that describe the connection. The service makes the connection, so a client cannot set them."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of every attempt. `attempt_seconds`: how long one may take; `body_bytes`: longest body, decompressed;
    `private`: private targets are allowed.
    """

    attempt_seconds: float
    body_bytes: int
    private: bool

    def timeout_seconds(self, seconds_left: float) -> float:
        """How long an attempt may take when the time of its page ends in `seconds_left`."""
        return min(self.attempt_seconds, max(seconds_left, SHORTEST_ATTEMPT_SECONDS))


class Fetcher:
    """Fetches pages over the connections of one round. A context manager. `limit`: bytes of a body; `html`: outcomes
    carry the page's HTML, for its links.
    """

    def __init__(self, connections: BaseConnector, *, limit: int, html: bool = False) -> None:
        self._connections = connections
        self._limit = limit
        self._html = html
        self._idle: list[ClientSession] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._idle:
            session.detach()

    async def fetch(self, request: FetchRequest, limit_seconds: float) -> FetchOutcome:  # noqa: PLR0911
        """One attempt, which takes at most `limit_seconds`."""
        try:
            async with asyncio.timeout(limit_seconds):
                return await self._attempt(request)
        except TimeoutError:
            return Trouble(f"no answer in {limit_seconds:.0f} s")
        except TooManyRedirects:
            return Hopeless("too many redirects")
        except (NonHttpUrlClientError, InvalidURL) as error:
            return Hopeless(f"not a URL that can be fetched: {error}")
        except ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddress):
                return Hopeless(str(error.os_error))
            return Trouble(_described(error))
        except (ClientError, OSError) as error:
            return Trouble(_described(error))
        except ValueError as error:  # from yarl or the IDNA codec, for unusual hosts
            return Hopeless(f"not a URL that can be fetched: {error}")
        except Exception as error:
            # A bug in here must not fail the other pages of the round, which would all be claimed and fail again.
            log.exception("fetch raised an unexpected error")
            return Trouble(_described(error))

    async def _attempt(self, request: FetchRequest) -> FetchOutcome:
        session = self._idle.pop() if self._idle else self._session()
        try:
            async with session.request(
                request.method,
                request.url,
                headers=headers_for(request),
                data=None if request.body is None else request.body.encode(),
                allow_redirects=request.follow_redirect,
            ) as response:
                body = await self._body(response)
        finally:
            # Cookies live for one attempt: a redirect may rely on them, the next page must not see them.
            session.cookie_jar.clear()
            self._idle.append(session)
        if body is None:
            return Hopeless(f"the body is longer than {self._limit} bytes")
        if request.output_format is None and len(body) <= CHUNK_BYTES:
            return self._answer(request, response, body)
        return await asyncio.to_thread(self._answer, request, response, body)

    def _session(self) -> ClientSession:
        # One for each concurrent attempt, used again afterwards: making a session costs half as much as a fetch.
        return ClientSession(
            connector=self._connections,
            connector_owner=False,
            cookie_jar=CookieJar(unsafe=True),
            timeout=ClientTimeout(total=None),
            max_field_size=MAX_HEADER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
        )

    async def _body(self, response: ClientResponse) -> bytes | None:
        """The whole body, decompressed; None where it is too long. Counted after decompression, because a small
        compressed body can become a huge one.
        """
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            body += chunk
            if len(body) > self._limit:
                return None
        return bytes(body)

    def _answer(self, request: FetchRequest, response: ClientResponse, body: bytes) -> FetchOutcome:
        final_url = str(response.url)
        try:
            page = formats.convert(
                *(response.status, final_url, response.headers.items(), body),
                wanted=request.output_format,
                binary=request.binary_target,
            )
        except Exception as error:  # noqa: BLE001  (a page can make the converters raise anything)
            return Hopeless(f"the page cannot be converted: {_described(error)[:200]}")
        text = dump_json(page.response).decode()
        return Answered(response.status, text, _retry_after(response), final_url, page.html if self._html else None)


def headers_for(request: FetchRequest) -> dict[str, str]:
    """The headers that are sent: a browser's usual ones. As with the vendor, the client's own headers are added only
    with `keep_headers`; without it only the content-type is, because it belongs to the body.
    """
    headers = {
        "user-agent": USER_AGENTS[request.device_type],
        "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "accept-language": "en-US,en;q=0.9",
    }
    given = {name: value for name, value in request.headers.items() if name not in _CONNECTION_HEADERS}
    if request.keep_headers:
        return headers | given
    if "content-type" in given:
        headers["content-type"] = given["content-type"]
    return headers


def _retry_after(response: ClientResponse) -> float | None:
    given, date = response.headers.get("retry-after"), response.headers.get("date")
    if given is None:
        return None
    try:
        # A date in Retry-After is by the target's own clock, which its Date header tells.
        now = parsedate_to_datetime(date).timestamp() if date else 0.0
    except (ValueError, OverflowError, TypeError):
        now = 0.0
    return read_retry_after(given, now)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
