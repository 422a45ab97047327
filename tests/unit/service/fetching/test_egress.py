from __future__ import annotations

import pytest

from service.fetching.egress import is_private, looks_private


@pytest.mark.parametrize(
    "host",
    ["127.1", "0x7f000001", "localhost.", "a.localhost", "169.254.169.254", "::1", "fd00::1", "2002:7f00:1::", "0"],
)
def test_disguises_of_private_addresses_are_seen_through(host: str) -> None:
    assert looks_private(host)


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "2606:4700::1111", "dead.beef", "face.cafe"])
def test_public_hosts_are_fine(host: str) -> None:
    assert not looks_private(host)


def test_is_private_takes_scopes() -> None:
    assert is_private("fe80::1%eth0")
    assert is_private("224.0.0.1")
