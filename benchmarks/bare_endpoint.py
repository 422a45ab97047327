"""The baseline of the receiver: a Starlette endpoint that reads the body and answers 200. Run it with `uvicorn
benchmarks.bare_endpoint:api`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def receive(request: Request) -> Response:
    await request.body()
    return Response()


api = Starlette(routes=[Route("/crawls/{crawl_id}/{token}", receive, methods=["POST"])])
"""It has the receiver's path, so that routing costs the same."""
