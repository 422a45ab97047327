"""Read results in any service: Redis streams and a group of consumers, nothing of Longhaul's."""

import json
import os
import sys

from redis import Redis
from redis.exceptions import ResponseError

redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2)
try:
    redis.xgroup_create("longhaul:results:results", "my-service", id="0", mkstream=True)
except ResponseError:
    pass  # the group is there already
while entries := redis.xreadgroup("my-service", "consumer-1", {"longhaul:results:results": ">"}, count=100, block=2000):
    for entry_id, fields in entries[0][1]:
        envelope = json.loads(fields["envelope"])
        print(envelope["id"], envelope["status"], len(envelope.get("body", "")), file=sys.stdout)
        redis.xack("longhaul:results:results", "my-service", entry_id)  # once you have stored it:
        redis.xdel("longhaul:results:results", entry_id)  # acknowledged and gone
