"""Calls with the batch client."""

from longhaul.scraperapi.protocol import HttpRequest
from tests.wire import wire

LIMIT = 1000


def perform(client, *requests):
    """The outcome of each request, in order."""
    outcomes = dict(pair for group in client.perform(list(enumerate(requests))) for pair in group)
    return [outcomes[at] for at in range(len(requests))]


def get(client, reply):
    with wire(lambda _: reply) as server:
        return perform(client, HttpRequest("GET", f"{server.base}/x"))[0]
