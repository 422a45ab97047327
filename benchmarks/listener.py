"""A bare receiver of a crawl's events: it keeps the pages' addresses and the time of the summary, and answers 200.

`GET /` tells both: {"ended": epoch seconds or null, "urls": [...]}.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.bare_http import BareHttp, answered, serve

TAKEN = answered(b"{}")
URL = b'"url":"'


class Listener(BareHttp):
    """One process hears one crawl."""

    urls: list[str] = []  # noqa: RUF012  (all connections share it)
    ended: float | None = None

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:  # noqa: ARG002  (it has one address)
        """Note an event, or tell what has come."""
        if method == b"GET":
            return answered(
                json.dumps({"ended": Listener.ended, "urls": Listener.urls if Listener.ended else []}).encode()
            )
        # Parsed it would take as much of the core as the site.
        if b'"jobState"' in body[:300]:
            Listener.ended = time.time()
        else:
            at = body.index(URL) + len(URL)
            Listener.urls.append(body[at : body.index(b'"', at)].decode())
        return TAKEN


if __name__ == "__main__":
    serve(Listener, int(sys.argv[1]))
