"""Addresses in the settings: HTTP bases, the ledger and the broker, and how TLS is spelled in them.

    rediss://user:password@host:6380/0                                    TLS; the certificate is verified
    rediss://host:6380/0?ssl_ca_certs=/etc/ssl/ca.pem                     ... against this CA instead of the system's
    rediss://host:6380/0?ssl_certfile=/etc/c.pem&ssl_keyfile=/etc/k.pem   ... with a certificate of our own
    rediss://host:6380/0?ssl_cert_reqs=none                               TLS without verification

This one spelling holds for the ledger and the broker, in every process. What Celery wants otherwise is translated in
`config.celery_settings`.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

CERT_REQS = ("required", "none")
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def http_base(url: str) -> str:
    """The address without a slash at its end; raises `ValueError`."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must be an http:// or https:// address")
    return url.rstrip("/")


def redis_url(url: str) -> str:
    """The address of a ledger; raises `ValueError`."""
    if not is_redis(url):
        raise ValueError("must be a redis:// or rediss:// address")
    check_tls(url)
    return url


def broker_url(url: str) -> str:
    """The address of a broker; raises `ValueError`."""
    # Any other transport would be given none of the options that keep it from hanging: see config/celery_settings.py.
    if not is_redis(url) and not url.startswith(("amqp://", "amqps://")):
        raise ValueError(
            "must be a redis://, rediss://, amqp:// or amqps:// address; others, such as sentinel://, are not supported"
        )
    if is_redis(url):
        check_tls(url)
    return url


def is_redis(url: str) -> bool:
    """Whether this is the address of a Redis or Valkey server."""
    return url.startswith(("redis://", "rediss://"))


def check_tls(url: str) -> None:
    """Raise `ValueError` where the TLS options of a Redis address are none that all our libraries know."""
    options = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items() if name.startswith("ssl_")}
    if options and not url.startswith("rediss://"):
        raise ValueError(f"{min(options)} needs TLS: write rediss:// instead of redis://")
    known = ("ssl_cert_reqs", *TLS_FILES)
    if strangers := sorted(set(options) - set(known)):
        raise ValueError(f"{strangers[0]} is no option of TLS here; those are {', '.join(known)}")
    if (reqs := options.get("ssl_cert_reqs", "required")) not in CERT_REQS:
        raise ValueError(f"ssl_cert_reqs: {reqs!r}: must be {' or '.join(CERT_REQS)}")
    for name in TLS_FILES:
        if name in options and not Path(options[name]).is_file():
            raise ValueError(f"{name}: there is no file {options[name]}")
