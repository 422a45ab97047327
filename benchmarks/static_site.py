"""A static site of any number of pages, the same each time, like those of documentation generators.

Each page has 10 to 22 KB and some 38 links: the navigation, links to parent, children and neighbours, and relative and
absolute links in the text; also a few that a crawler must not follow: to other sites, to a place on the page, to a mail
address. Each page is linked from its parent and has ten children, so every page is a few clicks from the start.
"""

from __future__ import annotations

import sys
from random import Random

from benchmarks.bare_http import BareHttp, answered, serve

FAN_OUT = 10
PAGES_PER_FOLDER = 100
PARAGRAPHS = (12, 32)
LINKS_IN_TEXT = 12
NAVIGATION_LINKS = 14
HTML = b"text/html; charset=utf-8"
WORDS = (  # noqa: SIM905  (a text, not a list)
    "a able about above accept access after again all also an and any are argument as at attribute base be because "
    "before behind between both break bytes call caller can change character class client close code collection "
    "command common connection contains context copy core count current data default define depth describe "
    "different directory do does each element empty end error event every example exception expression false field "
    "file first follow for format found from function general get given group handle has have header here host how "
    "if implementation in index input instance instead integer into is it item its keep key known last length less "
    "level library line list local loop made make many map match may memory message method mode module more most "
    "must name named namespace needs never new next no node none not note number object of on one only open "
    "operation option or order other out output over own package page pair parameter parse part path pattern "
    "platform point position possible process program protocol provide raise range read reference relative remove "
    "request result return row run same section see send sequence server set should simple since size some source "
    "space standard start state step still stop stream string such support table take text than that the their them "
    "then there these they this thread through time to tree true two type under unless until up use used user value "
    "variable version wait was way what when where whether which while will with within without word work write"
).split()


class Site:
    """`answers`: each page by its path, as bytes."""

    def __init__(self, pages: int, root: str) -> None:
        random = Random(5000)  # noqa: S311  (the same text each time)
        self._pages, self._root = pages, root
        self._paragraphs = [_paragraph(random) for _ in range(300)]
        self._top = _navigation(min(NAVIGATION_LINKS, pages))
        self.answers = {path(number).encode(): answered(self._page(number).encode(), HTML) for number in range(pages)}

    def _page(self, number: int) -> str:
        random = Random(number)  # noqa: S311  (the same each time)
        title = f"{number} {' '.join(random.sample(WORDS, 4)).capitalize()}"
        texts = random.sample(self._paragraphs, random.randint(*PARAGRAPHS))
        for _ in range(LINKS_IN_TEXT):
            at = random.randrange(len(texts))
            target = random.randrange(self._pages)
            href = _href(number, target, random)
            texts[at] += f'\n<p>See <a class="reference internal" href="{href}"><span>{_name(target)}</span></a>.</p>'
        children = range(number * FAN_OUT + 1, min((number + 1) * FAN_OUT, self._pages - 1) + 1)
        below = "".join(
            f'<li class="toctree-l1"><a class="internal" href="{path(child)}">{_name(child)}</a></li>\n'
            for child in children
        )
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1.0">
<title>{title} &#8212; A documentation</title>
<link rel="stylesheet" type="text/css" href="/_static/site.css">
<link rel="canonical" href="{self._root}{path(number)}">
<script>window.dataLayer = window.dataLayer || []; function track() {{ dataLayer.push(arguments); }}</script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
{self._top}
<div class="breadcrumbs"><a href="{path((number - 1) // FAN_OUT if number else 0)}">Up</a> &raquo; {title}</div>
<main id="main">
<h1>{title}<a class="headerlink" href="#main" title="Link to this heading">&para;</a></h1>
{chr(10).join(texts)}
<div class="toctree-wrapper"><ul>
{below}</ul></div>
</main>
<nav class="related"><a rel="prev" href="{path((number - 1) % self._pages)}">Previous</a>
<a rel="next" href="{path((number + 1) % self._pages)}">Next</a></nav>
<footer><a href="https://example.org/licence">Licence</a> <a href="https://example.com/">Hosted by Example</a>
<a href="mailto:docs@example.org">Write to us</a> <a href="{path(1 % self._pages)}">Contents</a> <a href="/">Home</a>\
</footer>
</body>
</html>
"""


def path(number: int) -> str:
    """The path of a page; 0 is the start."""
    return f"/guide/{number // PAGES_PER_FOLDER:03d}/page-{number}.html" if number else "/"


def _href(page: int, target: int, random: Random) -> str:
    if not page or not target or random.random() < 0.3:
        return path(target)
    if page // PAGES_PER_FOLDER == target // PAGES_PER_FOLDER:
        return f"page-{target}.html"
    return f"../{target // PAGES_PER_FOLDER:03d}/page-{target}.html#section-{random.randrange(9)}"


def _name(number: int) -> str:
    return f"{WORDS[number % len(WORDS)].capitalize()} {WORDS[number // 7 % len(WORDS)]} ({number})"


def _navigation(count: int) -> str:
    items = "".join(
        f'<li class="nav-item"><a class="nav-link" href="{path(number)}">{_name(number)}</a></li>\n'
        for number in range(count)
    )
    brand = '<a class="brand" href="/">A documentation</a>'
    return f'<nav class="navbar" aria-label="Main">{brand}<ul class="navbar-nav">\n{items}</ul></nav>'


def _paragraph(random: Random) -> str:
    words = random.choices(WORDS, k=random.randint(40, 110))
    words[random.randrange(len(words))] = (
        f'<code class="docutils literal notranslate"><span class="pre">{random.choice(WORDS)}()</span></code>'
    )
    return f"<p>{' '.join(words).capitalize()}.</p>"


class Server(BareHttp):
    """Serves `site`."""

    site: Site

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:  # noqa: ARG002  (a static site)
        """The page, or 404."""
        return self.site.answers.get(path) or answered(b"<h1>No such page</h1>", HTML, b"404 Not Found")


if __name__ == "__main__":
    Server.site = Site(int(sys.argv[2]), f"http://127.0.0.1:{sys.argv[1]}")
    serve(Server, int(sys.argv[1]))
