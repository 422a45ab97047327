"""Where the service may connect to: private addresses are refused, unless the settings allow them.

An address that stands in a URL is refused when it is submitted. A name is judged where the connection is made, so that
neither a name, nor a redirect, nor a name that changes its address between check and use leads into a private network.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from aiohttp import AddrInfoType, TCPConnector

CONNECTIONS_PER_HOST = 4
"""Connections of one round to one host: fifty pages of one site must not look like an attack."""


class PrivateAddress(OSError):
    """The target, or where it redirects to, is an address that is not public."""


def connector(*, private: bool, per_host: int = CONNECTIONS_PER_HOST) -> TCPConnector:
    """The connections of one round. `private`: they may go to private addresses; `per_host`: connections to one host,
    0: any number.
    """
    return TCPConnector(limit=0, limit_per_host=per_host, socket_factory=None if private else _public_socket)


def looks_private(host: str) -> bool:
    """Whether a host is, as written, an address that is not public. Names are not resolved here."""
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        # As the resolver reads it: 127.1, 0x7f000001 and 2130706433 are all 127.0.0.1.
        host = socket.inet_ntoa(socket.inet_aton(host)) if re.fullmatch(r"[0-9a-fx.]+", host) else host
    except OSError:
        return False
    return is_private(host)


def is_private(address: str) -> bool:
    """Whether an IP address is not public: loopback, private, link-local, reserved, multicast, or an IPv6 form of one
    of these.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return not ip.is_global or ip.is_multicast


def _public_socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, endpoint = address
    if is_private(str(endpoint[0])):
        raise PrivateAddress("the target is a private or loopback address")
    return socket.socket(family, kind, protocol)
