"""What the tests of the flow look at."""

import time


def until(condition, seconds=10.0):
    """Wait for what another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def lanes(world):
    return {lane.name: lane for lane in world.store.books().lanes}
