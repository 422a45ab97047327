"""Answers of the remote, as the HTTP client returns them."""

import json

from longhaul.scraperapi.protocol import HttpAnswer, read_polled

NOW = 1_800_000_000.0


def answer(document, status=200, **headers):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def polled(document):
    return read_polled(answer(document), NOW)
