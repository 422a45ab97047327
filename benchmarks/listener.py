"""A minimal receiver of crawl events: it answers 200 and keeps the URLs of the pages and the time of the summary.

`GET /` returns both: {"ended": epoch seconds or null, "urls": [...]}.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.bare_http import BareHttp, answered, serve

ACCEPTED = answered(b"{}")
URL = b'"url":"'


class Listener(BareHttp):
    """The connections of the only process, which receives one crawl."""

    urls: list[str] = []  # noqa: RUF012  (shared by all connections)
    ended: float | None = None

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:  # noqa: ARG002  (it has one address)
        """Record an event, or return what was received."""
        if method == b"GET":
            return answered(
                json.dumps({"ended": Listener.ended, "urls": Listener.urls if Listener.ended else []}).encode()
            )
        # Parsing the JSON would take as much CPU as serving the site.
        if b'"jobState"' in body[:300]:
            Listener.ended = time.time()
        else:
            at = body.index(URL) + len(URL)
            Listener.urls.append(body[at : body.index(b'"', at)].decode())
        return ACCEPTED


if __name__ == "__main__":
    serve(Listener, int(sys.argv[1]))
