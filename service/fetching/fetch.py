"""One attempt at a target: the only I/O with the web. Every way it can end is an `FetchOutcome`; nothing that a target
does raises.

Addresses are checked where the connection is made, so that neither a name, nor a redirect, nor a name that changes its
address between check and use leads into a private network.
"""

from __future__ import annotations

import asyncio
import socket
from email.utils import parsedate_to_datetime
from typing import Self

import structlog
from aiohttp import (
    AddrInfoType,
    BaseConnector,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    CookieJar,
    InvalidURL,
    NonHttpUrlClientError,
    TCPConnector,
    TooManyRedirects,
)

from longhaul.scraperapi.protocol import dump_json, read_retry_after
from service.fetching import formats
from service.fetching.retry_policy import Answered, FetchOutcome, Hopeless, Trouble
from service.jobs.submission import RunRequest, is_private

PER_HOST = 4
"""Connections of one round to one host: a round of fifty pages of one site is no attack."""
CHUNK = 64 * 1024
LONGEST_HEADER = 64 * 1024
USER_AGENTS = {
    "desktop": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "mobile": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
}
_OURS = frozenset(
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
"""Headers that belong to the connection, which is the service's and not the caller's."""

log = structlog.get_logger()


class PrivateAddress(OSError):
    """The target, or where it redirects to, is an address that is not public."""


def connector(*, private: bool, per_host: int = PER_HOST) -> TCPConnector:
    """Connections for one round; `private`: they may go to private addresses."""
    return TCPConnector(limit=0, limit_per_host=per_host, socket_factory=None if private else _public_socket)


class Fetcher:
    """Fetches over the connections of one round, within a `with`. `limit` in bytes for a body; `html`: outcomes carry
    the page's HTML, for its links."""

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

    async def fetch(self, submission: RunRequest, timeout: float) -> FetchOutcome:  # noqa: ASYNC109, PLR0911  (it keeps it; one line a way to end)
        """One attempt, which takes at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                return await self._attempt(submission)
        except TimeoutError:
            return Trouble(f"no answer in {timeout:.0f} s")
        except TooManyRedirects:
            return Hopeless("too many redirects")
        except (NonHttpUrlClientError, InvalidURL) as error:
            return Hopeless(f"not a URL that can be fetched: {error}")
        except ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddress):
                return Hopeless(str(error.os_error))
            return Trouble(_words(error))
        except (ClientError, OSError) as error:
            return Trouble(_words(error))
        except ValueError as error:  # what yarl and the IDNA codec say of odd hosts
            return Hopeless(f"not a URL that can be fetched: {error}")
        except Exception as error:
            # A bug in here must not take the round's other runs with it, again and again.
            log.exception("a fetch broke")
            return Trouble(_words(error))

    async def _attempt(self, submission: RunRequest) -> FetchOutcome:
        session = self._idle.pop() if self._idle else self._session()
        try:
            async with session.request(
                submission.method,
                submission.url,
                headers=headers_for(submission),
                data=None if submission.body is None else submission.body.encode(),
                allow_redirects=submission.follow_redirect,
            ) as response:
                body = await self._body(response)
        finally:
            # Cookies live for one attempt: a redirect may rely on them, the next run must not see them.
            session.cookie_jar.clear()
            self._idle.append(session)
        if body is None:
            return Hopeless(f"the body is longer than {self._limit} bytes")
        if submission.output_format is None and len(body) <= CHUNK:
            return self._answer(submission, response, body)
        return await asyncio.to_thread(self._answer, submission, response, body)

    def _session(self) -> ClientSession:
        # One for each attempt that is under way at once, for making one costs as much as half a fetch.
        return ClientSession(
            connector=self._connections,
            connector_owner=False,
            cookie_jar=CookieJar(unsafe=True),
            timeout=ClientTimeout(total=None),
            max_field_size=LONGEST_HEADER,
            max_line_size=LONGEST_HEADER,
        )

    async def _body(self, response: ClientResponse) -> bytes | None:
        """The whole body, decompressed; None where it is too long. Counted after decompression, for a small bomb makes
        a big body.
        """
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > self._limit:
                return None
        return bytes(body)

    def _answer(self, submission: RunRequest, response: ClientResponse, body: bytes) -> FetchOutcome:
        final_url = str(response.url)
        try:
            page = formats.convert(
                *(response.status, final_url, response.headers.items(), body),
                wanted=submission.output_format,
                binary=submission.binary_target,
            )
        except Exception as error:  # noqa: BLE001  (the converters raise whatever a page makes them raise, RecursionError first)
            return Hopeless(f"the page cannot be converted: {_words(error)[:200]}")
        text = dump_json(page.response).decode()
        return Answered(response.status, text, _retry_after(response), final_url, page.html if self._html else None)


def headers_for(submission: RunRequest) -> dict[str, str]:
    """What is sent: a browser's usual headers. The caller's replace and extend them only with `keep_headers`, as with
    the vendor; without it only their content-type is sent, which belongs to the body."""
    headers = {
        "user-agent": USER_AGENTS[submission.device_type],
        "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "accept-language": "en-US,en;q=0.9",
    }
    theirs = {name: value for name, value in submission.headers.items() if name not in _OURS}
    if submission.keep_headers:
        return headers | theirs
    if "content-type" in theirs:
        headers["content-type"] = theirs["content-type"]
    return headers


def _retry_after(response: ClientResponse) -> float | None:
    asked, date = response.headers.get("retry-after"), response.headers.get("date")
    if asked is None:
        return None
    try:
        # A date is meant by the target's own clock.
        now = parsedate_to_datetime(date).timestamp() if date else 0.0
    except (ValueError, OverflowError, TypeError):
        now = 0.0
    return read_retry_after(asked, now)


def _public_socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, endpoint = address
    if is_private(str(endpoint[0])):
        raise PrivateAddress("the target is a private or loopback address")
    return socket.socket(family, kind, protocol)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
