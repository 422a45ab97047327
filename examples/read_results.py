"""Read results in any service: Redis streams and a group of consumers, nothing of Longhaul's."""

import json
import os

from redis import Redis
from redis.exceptions import ResponseError

STREAM, GROUP = "longhaul:results:results", "my-service"

redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), decode_responses=True, protocol=2)
try:
    redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
except ResponseError as error:
    if not str(error).startswith("BUSYGROUP"):  # the group is there already
        raise
while answer := redis.xreadgroup(GROUP, "consumer-1", {STREAM: ">"}, count=100, block=2000):
    for entry_id, fields in answer[0][1]:
        envelope = json.loads(fields["envelope"])
        print(envelope["id"], envelope["status"], len(envelope.get("body", "")))
        redis.xack(STREAM, GROUP, entry_id)  # once it is safe with you:
        redis.xdel(STREAM, entry_id)  # acknowledged and gone
