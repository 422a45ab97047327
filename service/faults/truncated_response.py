"""An answer whose connection closes before its end: the fault dial's `cut` and `postcut`."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class TruncatedResponse(Response):
    """Announces all of `body` and sends its first `kept` bytes. The server then closes the connection, because the
    answer is incomplete.
    """

    def __init__(self, body: bytes | memoryview, kept: int) -> None:
        super().__init__(bytes(body), media_type="application/json")
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI's signature)
        """Send the beginning and return."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: self._kept], "more_body": True})
