"""One call at a time, with requests: for what a person or a start-up check asks."""

from __future__ import annotations

import requests

from scraperapi.models import Interrupted, TooLarge, Unreachable
from scraperapi.protocol import HttpAnswer, HttpOutcome, HttpRequest


def call(request: HttpRequest, *, timeout: float, max_bytes: int = 1024 * 1024) -> HttpOutcome:
    """Make one call; `timeout` in seconds bounds the connection and each wait for bytes."""
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
            for part in answer.iter_content(64 * 1024):
                body += part
                if len(body) > max_bytes:
                    return TooLarge(max_bytes)
            return HttpAnswer(answer.status_code, answer.headers, body)
    except (requests.ConnectionError, requests.exceptions.InvalidURL) as error:
        return Unreachable(str(error))
    except requests.RequestException as error:
        return Interrupted(str(error))
