"""What `redis-cli -e -p PORT COMMAND ...` does, for machines whose server brings no redis-cli: prints the answer; exit
code 1 where it is an error.
"""

from __future__ import annotations

import argparse
import sys

from redis import Redis
from redis.exceptions import RedisError

parser = argparse.ArgumentParser()
parser.add_argument("-e", action="store_true", help="as always here: an error has an exit code")
parser.add_argument("-p", type=int, required=True, dest="port")
parser.add_argument("command", nargs=argparse.REMAINDER)
given = parser.parse_args()
try:
    sys.stdout.write(f"{Redis(port=given.port, socket_timeout=5).execute_command(*given.command)!r}\n")
except RedisError as error:
    sys.exit(f"(error) {error}")
