"""One command to the ledger, its answer a value a line: what `redis-cli` does, for machines that have none.

`python examples/redis_cli.py HGETALL 'longhaul:{jobs}:books'` asks the server that `LONGHAUL_REDIS_URL` names.
"""

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from redis import Redis


def lines(reply: Any) -> Iterator[str]:
    """The values in a reply, one after the other."""
    if isinstance(reply, list):
        for part in reply:
            yield from lines(part)
    else:
        yield "(nil)" if reply is None else reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)


def main() -> None:
    """Send the command in the arguments."""
    # `grep -q` and `head` hang up once they have seen enough.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    redis = Redis.from_url(os.environ.get("LONGHAUL_REDIS_URL", "redis://127.0.0.1:6379/0"), protocol=2)
    connection = redis.connection_pool.get_connection()
    connection.send_command(*sys.argv[1:])
    print("\n".join(lines(connection.read_response())))


main()
