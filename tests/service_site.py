"""A small site full of traps for a crawler, and what a crawl of it has to find; and a tree of pages that take their
time.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

FAN_OUT = 4

# Each page: what it links to, as written; `{elsewhere}` is an address of another site.
LINKS = {
    "": [
        *(
            "a",
            "b#top",
            "b#bottom",
            "",
            "/site/",
            "self",
            "loop",
            "moved",
            "hop",
            "gone",
            "broken",
            "busy",
            "charset",
            "soup",
            "huge",
            "image",
        ),
        *("{elsewhere}/site/off", "mailto:me@example.com", "javascript:void(0)", "http://[bad/", "private?a=1&amp;b=ü"),
    ],
    "a": ["deep", "/site/b", "../site/a", "unlisted-canonical"],
    "b": ["deep", "deeper/"],
    "self": ["self", "?x=1"],
    "deep": ["deepest"],
    "deeper/": ["leaf", "../a"],
    "soup": ["fromsoup"],
    "charset": ["кириллица"],
}
HOME = ("", "a", "b", "self", "loop", "moved", "hop", "gone", "broken", "busy", "charset", "soup", "huge", "image")
DEPTHS = {
    **dict.fromkeys(HOME, 1),
    "": 0,
    "private?a=1&b=%C3%BC": 1,
    # `hop` at depth 1 leads to `deep`, which is thereby read: only the links found there go on.
    "unlisted-canonical": 2,
    "deeper/": 2,
    "self?x=1": 2,
    "fromsoup": 2,
    "%D0%BA%D0%B8%D1%80%D0%B8%D0%BB%D0%BB%D0%B8%D1%86%D0%B0": 2,
    "deepest": 2,
    "deeper/leaf": 3,
}
"""Every page of the site by its path after /site/, and its depth."""
FAILED = {"loop": "too many redirects", "broken": "HTTP 500", "huge": "the body is longer than"}
UNCHARGED = {"loop", "broken", "huge"}


async def site_page(path: str, elsewhere: str, asked: int) -> web.StreamResponse:  # noqa: C901, PLR0911, PLR0912
    """The page of the site of traps at this path; `asked`: how often it was asked for, this time included."""
    match path:
        case "loop":
            raise web.HTTPFound("/site/loop")
        case "moved":
            raise web.HTTPMovedPermanently("/site/a")
        case "hop":
            raise web.HTTPFound("/site/deep")
        case "gone":
            return _html(path, ["from-gone"], status=404)
        case "broken":
            return web.Response(status=500, text="broken")
        case "busy" if asked == 1:
            return web.Response(status=429, headers={"retry-after": "1"})
        case "huge":
            return web.Response(body=b"<a href='from-huge'>x</a>" * 100_000, content_type="text/html")
        case "image":
            return web.Response(body=b"\x89PNG\x00<a href='from-image'>x</a>", content_type="image/png")
        case "charset":
            # It says UTF-8, and is windows-1251.
            body = "".join(f"<a href='{link}'>x</a>" for link in LINKS[path])
            return web.Response(
                body=body.encode("windows-1251"), headers={"content-type": "text/html; charset=windows-1251"}
            )
        case "soup":
            return web.Response(
                text="<p><table><a href=fromsoup><div></p></a><a href='<b>unclosed", content_type="text/html"
            )
        case "deep":
            return _html(path, LINKS[path], head="<base href='/site/elsewhere/../'>")
        case "a":
            return _html(
                path,
                LINKS[path][:-1],
                head="<link rel=canonical href=unlisted-canonical><link rel=stylesheet href=style.css>",
            )
        case _:
            return _html(path, [link.format(elsewhere=elsewhere) for link in LINKS.get(path, [])])


async def tree_page(number: int, pages: int, pause: float) -> web.StreamResponse:
    """One page of a tree, which links to its children and to the first pages, of which number 0 has no number in its
    address.
    """
    await asyncio.sleep(pause)
    children = [str(child) for child in range(number * FAN_OUT + 1, min((number + 1) * FAN_OUT, pages - 1) + 1)]
    return _html(str(number), [*children, ".", *map(str, range(1, min(number, 5)))])


def _html(title: str, links: list[str], *, head: str = "", status: int = 200) -> web.Response:
    anchors = "".join(f'<li><a href="{link}">{link}</a></li>' for link in links)
    text = f"<!doctype html><html><head><title>{title}</title>{head}</head><body><ul>{anchors}</ul></body></html>"
    return web.Response(text=text, status=status, content_type="text/html")
