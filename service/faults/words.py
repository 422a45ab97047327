"""The words of the fault dial: what a test can make the service do wrong. Pure.

    http://get500-2.slow-1.fault.invalid/any/path        labels of the host: the service makes up the target's answer
    "headers": {"x-longhaul-fault": "get500-2 slow-1"}   with any target: the header is removed before the fetch

Words are read only where LONGHAUL_SERVICE_FAULTS is set; elsewhere such hosts and headers have no special meaning.
Every kind: `docs/reference/faults.md`. The words of one job or crawl, separated by spaces, are its *spec*.
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
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import TIMED_OUT, Answered, FetchOutcome, Hopeless, Later

HEADER = "x-longhaul-fault"
DOMAIN = ".fault.invalid"
MEBIBYTE = 1024 * 1024
ALWAYS = 2**31

REFUSALS = ("400", "401", "403", "404", "410", "429", "500", "502", "503", "504")
_MADE_UP = frozenset({"status", "huge", "binary", "object", "flaky"})
"""Kinds that say what the target answers, so nothing is fetched."""
_RUN = frozenset({"slow", "never", "fail", "ok"})
_READ = frozenset({"notfound", "expire", "gone", "cut", "badjson", "unknownstatus"})
_SUBMIT = frozenset({"postcut"})
_WEBHOOK = frozenset({"nowebhook", "duplicate", "late"})
_CRAWL = frozenset({"site", "lose", "shuffle", "nosummary", "summaryfirst", "stuck", "slowpush", "push500"})
"""Kinds of crawls only: see `crawl_faults`."""
_STYLE = frozenset({"plain"})
KINDS = (
    _MADE_UP
    | _RUN
    | _READ
    | _SUBMIT
    | _WEBHOOK
    | _CRAWL
    | _STYLE
    | {side + code for side in ("post", "get", "delete") for code in REFUSALS}
)

_WORD = re.compile(r"([a-z]+(?:\d{3})?)(?:-(\d+))?(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One word of the dial: `get429-2-5` is kind `get429`, first 2, second 5; None where there is no such number."""

    kind: str
    first: int | None = None
    second: int | None = None

    @property
    def times(self) -> int:
        """How often it happens; without a number, always."""
        return ALWAYS if self.first is None else self.first


def split_faults(request: FetchRequest) -> tuple[FetchRequest, str]:
    """A job's request without the dial's header, and its spec: the header's or the host's words, empty where there are
    none. An unknown word is an `InvalidArgument`.
    """
    spec = request.headers.get(HEADER) or host_words(request.url)
    if not spec:
        return request, ""
    read_faults(spec)
    return replace(request, headers={name: value for name, value in request.headers.items() if name != HEADER}), spec


def drops_webhooks(spec: str) -> bool:
    """Whether nothing at all is delivered to the callback."""
    return "nowebhook" in spec.split()


def read_faults(spec: str) -> list[Fault]:
    """The faults of a spec, in order."""
    return [_fault(word) for word in spec.split()]


def find_fault(faults: Sequence[Fault], kind: str) -> Fault | None:
    """The fault of this kind, if there is one."""
    return next((fault for fault in faults if fault.kind == kind), None)


def outcome(
    request: FetchRequest,
    spec: str,
    attempts: int,
    since: float,
    now: float,
    site_page: tuple[int, str] | None = None,
) -> FetchOutcome | None:
    """What an attempt at this page meets without any network; None: fetch it. `since`: when the job was created, or the
    page first tried (epoch seconds, as `now`); `site_page`: status and HTML of a made-up site's page.
    """
    faults = read_faults(spec)
    if find_fault(faults, "never"):
        return Later(None)
    if (slow := find_fault(faults, "slow")) and now < since + (slow.first or 1):
        return Later(since + (slow.first or 1))
    if find_fault(faults, "fail"):
        return Hopeless(TIMED_OUT)
    if (flaky := find_fault(faults, "flaky")) and attempts <= flaky.times:
        return Answered(503, "")
    if site_page is None and not host_words(request.url) and not any(fault.kind in _MADE_UP for fault in faults):
        return None
    return _made_up(request, faults, *(site_page or (200, body_for(request.url))))


def body_for(url: str) -> str:
    """The body that the service makes up for `url`, for tests to compare with."""
    digest = hashlib.sha256(url.encode()).hexdigest()
    head = f"<!doctype html><html><head><title>{digest[:8]}</title></head>"
    return f"{head}<body><h1>Made up</h1><p>{digest}</p></body></html>"


def binary_for(url: str) -> bytes:
    """The bytes of a `binary` answer for `url`: not valid UTF-8."""
    return b"\x00\xff" + hashlib.sha256(url.encode()).digest() * 8


def huge_for(url: str, mebibytes: int) -> str:
    """The body of a `huge` answer for `url`."""
    unit = hashlib.sha256(url.encode()).hexdigest()
    return unit * (mebibytes * MEBIBYTE // len(unit))


def object_for(url: str) -> Json:
    """The body of an `object` answer for `url`, as the vendor gives for autoparsed targets."""
    return {"url": url, "digest": hashlib.sha256(url.encode()).hexdigest(), "items": [1, 2, 3]}


def _made_up(request: FetchRequest, faults: Sequence[Fault], code: int, html: str) -> FetchOutcome:
    url = request.url
    status, huge = find_fault(faults, "status"), find_fault(faults, "huge")
    code = status.first if status and status.first else code
    kind, body = "text/html; charset=utf-8", html.encode()
    if find_fault(faults, "binary"):
        kind, body = "image/png", binary_for(url)
    elif huge:
        kind, body = "text/plain; charset=utf-8", huge_for(url, huge.first or 1).encode()
    page = formats.convert(
        *(code, url, [("content-type", kind)], body), wanted=request.output_format, binary=request.binary_target
    )
    response = page.response | {"body": object_for(url)} if find_fault(faults, "object") else page.response
    return Answered(code, dump_json(response).decode(), final_url=url, html=page.html)


def host_words(url: str) -> str:
    """The words in a host name under the dial's domain; empty for other hosts."""
    host = urlsplit(url).hostname or ""
    return host.removesuffix(DOMAIN).replace(".", " ") if host.endswith(DOMAIN) else ""


def _fault(word: str) -> Fault:
    match = _WORD.fullmatch(word)
    if match is None or match[1] not in KINDS:
        raise invalid("fault", word, f"unknown; the kinds are {', '.join(sorted(KINDS))}")
    return Fault(match[1], *(None if number is None else int(number) for number in match.group(2, 3)))
