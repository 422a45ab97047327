"""The addresses at which the remote may push results: unguessable, and made from the secret, so that none has to be
stored. Pure.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

USER = "longhaul"
REMEMBERED = 10_000
"""Digests at hand: the events of a crawl all come to one address."""
CallbackKind = Literal["job", "crawl"]


@dataclass(frozen=True, slots=True)
class Callbacks:
    """`secret` is LONGHAUL_WEBHOOK_SECRET. Basic auth in the URL is the only credential that the remote can send
    (contract: webhooks).
    """

    secret: str

    def url(self, receiver: str, kind: CallbackKind, id_: str) -> str:
        """Where the remote is to push what belongs to this job or crawl; `receiver` is the receiver's own address."""
        base = urlsplit(receiver)
        netloc = f"{USER}:{self.password(id_)}@{base.netloc.rpartition('@')[2]}"
        path = f"{base.path.rstrip('/')}/{kind}s/{quote(id_, safe='')}/{self._digest(kind, id_)}"
        return urlunsplit((base.scheme, netloc, path, "", ""))

    def password(self, id_: str) -> str:
        """The basic-auth password of one address: it admits to no other."""
        return self._digest("password", id_)

    def admits(self, kind: CallbackKind, id_: str, token: str, password: str) -> bool:
        """Whether a push to this path with this password is the remote's; in constant time."""
        path = hmac.compare_digest(token.encode(), self._digest(kind, id_).encode())
        return hmac.compare_digest(password.encode(), self.password(id_).encode()) and path

    def _digest(self, kind: str, subject: str) -> str:
        return _digest(self.secret, f"{kind}:{subject}")


@lru_cache(maxsize=REMEMBERED)
def _digest(secret: str, subject: str) -> str:
    return hmac.new(secret.encode(), subject.encode(), "sha256").hexdigest()[:32]
