"""A remote that answers at once: it accepts each `POST /jobs`, and each `GET /jobs/<id>` is finished with a small body.

Under the base path `/running` no job ever finishes.
"""

from __future__ import annotations

import itertools
import json
import sys

from benchmarks.bare_http import BareHttp, answered, serve

BODY = "<!doctype html><title>ok</title>" + "x" * 200
serial = itertools.count(1)


class Stub(BareHttp):
    """The Async API, as far as our clients use it."""

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:  # noqa: ARG002  (it accepts every body)
        """Accepted, running, or finished."""
        if method == b"POST":
            job = {"id": f"r{next(serial):012d}", "status": "running", "statusUrl": "", "url": "http://target.invalid/"}
        elif path.startswith(b"/running/"):
            job = {"id": job_id(path), "status": "running", "statusUrl": "", "url": "http://target.invalid/"}
        else:
            job = {
                "id": job_id(path),
                "status": "finished",
                "url": "http://target.invalid/",
                "response": {
                    "headers": {"sa-statuscode": "200", "sa-credit-cost": "1"},
                    "body": BODY,
                    "statusCode": 200,
                },
            }
        return answered(json.dumps(job).encode())


def job_id(path: bytes) -> str:
    return path.rsplit(b"/", 1)[1].split(b"?")[0].decode()


if __name__ == "__main__":
    serve(Stub, int(sys.argv[1]))
