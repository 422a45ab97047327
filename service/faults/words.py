"""The fault dial: what a test can make the service do wrong, by the target's host name or by a header of the job. Pure.

    http://get500-2.slow-1.fault.invalid/any/path        labels of the host; the service makes the target's answer up itself
    "headers": {"x-longhaul-fault": "get500-2 slow-1"}   with any target; the header is taken off before the fetch

Off unless LONGHAUL_SERVICE_FAULTS is set; then such hosts and headers mean nothing special. Every kind:
`docs/reference/faults.md`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from longhaul.errors import invalid
from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from service.fetching import formats
from service.fetching.retry_policy import TIMED_OUT, Answered, FetchOutcome, Hopeless, Later
from service.jobs.submission import RunRequest

HEADER = "x-longhaul-fault"
DOMAIN = ".fault.invalid"
MEBIBYTE = 1024 * 1024
EVER = 2**31

REFUSALS = ("400", "401", "403", "404", "410", "429", "500", "502", "503", "504")
_MADE_UP = frozenset({"status", "huge", "binary", "object", "flaky"})
"""Kinds that are about the target's answer, so that there is nothing to fetch."""
_RUN = frozenset({"slow", "never", "fail", "ok"})
_READ = frozenset({"notfound", "expire", "gone", "cut", "badjson", "unknownstatus"})
_SUBMIT = frozenset({"postcut"})
_PUSH = frozenset({"nowebhook", "duplicate", "late"})
_CRAWL = frozenset({"site", "lose", "shuffle", "nosummary", "summaryfirst", "stuck", "slowpush", "push500"})
"""Kinds that only a crawl knows: see `crawl_faults`."""
_MANNERS = frozenset({"plain"})
KINDS = (
    _MADE_UP
    | _RUN
    | _READ
    | _SUBMIT
    | _PUSH
    | _CRAWL
    | _MANNERS
    | {side + code for side in ("post", "get", "delete") for code in REFUSALS}
)

_WORD = re.compile(r"([a-z]+(?:\d{3})?)(?:-(\d+))?(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One word of the dial: `get429-2-5` is kind `get429`, first 2, second 5; None where the word says nothing."""

    kind: str
    first: int | None = None
    second: int | None = None

    @property
    def times(self) -> int:
        """How often it happens; without a number, always."""
        return EVER if self.first is None else self.first


def dialled(submission: RunRequest) -> RunRequest:
    """The submission with its faults, and without the header that asks for them; an unknown word is an
    `InvalidArgument`.
    """
    spec = submission.headers.get(HEADER) or host_words(submission.url)
    if not spec:
        return submission
    read(spec)
    headers = {name: value for name, value in submission.headers.items() if name != HEADER}
    callback = None if "nowebhook" in spec.split() else submission.callback
    return replace(submission, headers=headers, faults=spec, callback=callback)


def read(spec: str) -> list[Fault]:
    """The faults of a record, in order."""
    return [_fault(word) for word in spec.split()]


def find(faults: Sequence[Fault], kind: str) -> Fault | None:
    """The fault of this kind, if there is one."""
    return next((fault for fault in faults if fault.kind == kind), None)


def outcome(
    submission: RunRequest, attempts: int, created: float, now: float, page: tuple[int, str] | None = None
) -> FetchOutcome | None:
    """What an attempt of this run meets without any network; None: fetch it. Times in epoch seconds. `page`: status and
    HTML of a made-up site's page."""
    faults = read(submission.faults)
    if find(faults, "never"):
        return Later(None)
    if (slow := find(faults, "slow")) and now < created + (slow.first or 1):
        return Later(created + (slow.first or 1))
    if find(faults, "fail"):
        return Hopeless(TIMED_OUT)
    if (flaky := find(faults, "flaky")) and attempts <= flaky.times:
        return Answered(503, "")
    if page is None and not host_words(submission.url) and not any(fault.kind in _MADE_UP for fault in faults):
        return None
    return _made_up(submission, faults, *(page or (200, body_for(submission.url))))


def body_for(url: str) -> str:
    """The body that the service makes up for `url`, so that a test knows what it has to get."""
    digest = hashlib.sha256(url.encode()).hexdigest()
    return f"<!doctype html><html><head><title>{digest[:8]}</title></head><body><h1>Made up</h1><p>{digest}</p></body></html>"


def binary_for(url: str) -> bytes:
    """The bytes of a `binary` answer for `url`: no valid UTF-8."""
    return b"\x00\xff" + hashlib.sha256(url.encode()).digest() * 8


def huge_for(url: str, mebibytes: int) -> str:
    """The body of a `huge` answer for `url`."""
    unit = hashlib.sha256(url.encode()).hexdigest()
    return unit * (mebibytes * MEBIBYTE // len(unit))


def object_for(url: str) -> Json:
    """The body of an `object` answer for `url`, as autoparsed targets have it."""
    return {"url": url, "digest": hashlib.sha256(url.encode()).hexdigest(), "items": [1, 2, 3]}


def _made_up(submission: RunRequest, faults: Sequence[Fault], code: int, html: str) -> FetchOutcome:
    url = submission.url
    status = find(faults, "status")
    huge = find(faults, "huge")
    code = status.first if status and status.first else code
    kind, body = "text/html; charset=utf-8", html.encode()
    if find(faults, "binary"):
        kind, body = "image/png", binary_for(url)
    elif huge:
        kind, body = "text/plain; charset=utf-8", huge_for(url, huge.first or 1).encode()
    page = formats.convert(
        *(code, url, [("content-type", kind)], body), wanted=submission.output_format, binary=submission.binary_target
    )
    response = page.response | {"body": object_for(url)} if find(faults, "object") else page.response
    return Answered(code, dump_json(response).decode(), final_url=url, html=page.html)


def host_words(url: str) -> str:
    """The words in a host under the dial's domain; empty elsewhere."""
    host = urlsplit(url).hostname or ""
    return host.removesuffix(DOMAIN).replace(".", " ") if host.endswith(DOMAIN) else ""


def _fault(word: str) -> Fault:
    match = _WORD.fullmatch(word)
    if match is None or match[1] not in KINDS:
        raise invalid("fault", word, f"unknown; the kinds are {', '.join(sorted(KINDS))}")
    return Fault(match[1], *(None if number is None else int(number) for number in match.group(2, 3)))
