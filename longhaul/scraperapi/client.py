"""One call at a time, with requests: for what a person or a start-up check asks."""

from __future__ import annotations

import time

import requests
from urllib3.exceptions import HTTPError, NewConnectionError

from longhaul.scraperapi.models import Interrupted, TooLarge, Unreachable
from longhaul.scraperapi.protocol import HttpAnswer, HttpOutcome, HttpRequest


def call(request: HttpRequest, *, timeout: float, max_bytes: int = 1024 * 1024) -> HttpOutcome:
    """Make one call; `timeout` in seconds bounds the connection, each wait for bytes, and all of it: twice that at the
    worst.
    """
    until = time.monotonic() + timeout
    try:
        with requests.request(
            request.method,
            request.url,
            data=request.body,
            headers=dict(request.headers),
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = b""
            # Take what has arrived instead of waiting for 64 KiB: a remote that trickles must not block the caller.
            while part := answer.raw.read1(64 * 1024, decode_content=True):
                body += part
                if time.monotonic() > until:
                    return Interrupted(f"the answer took longer than {timeout:g} s")
                if len(body) > max_bytes:
                    return TooLarge(max_bytes)
            return HttpAnswer(answer.status_code, answer.headers, body)
    except HTTPError as error:
        return Interrupted(str(error))
    except requests.RequestException as error:
        return Unreachable(str(error)) if _never_connected(error) else Interrupted(str(error))


def _never_connected(error: requests.RequestException) -> bool:
    """A broken connection is a `requests.ConnectionError` as well; only urllib3's reason tells them apart."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.InvalidURL | requests.exceptions.SSLError):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.ConnectionError) and isinstance(
        getattr(cause, "reason", None), NewConnectionError
    )
