from __future__ import annotations

import base64
from typing import Any

import pytest

from service.fetching.formats import convert, decode, is_binary, to_markdown, to_text

HTML = (
    "<html><head><style>a{}</style></head><body><h1>Title</h1><script>no()</script>"
    "<p>One <b>two</b>!</p><ul><li>a</li><li>b</li></ul></body></html>"
)


def made(body: bytes = b"hello", content_type: str = "text/plain", **options: Any) -> dict[str, Any]:
    given = {"wanted": None, "binary": False} | options
    return convert(200, "http://example.com/end", [("Content-Type", content_type)], body, **given).response


def test_the_response_is_the_contracts() -> None:
    assert made() == {
        "headers": {
            "content-type": "text/plain",
            "sa-final-url": "http://example.com/end",
            "sa-statuscode": "200",
            "sa-credit-cost": "1",
        },
        "statusCode": 200,
        "credits": 1,
        "body": "hello",
    }


@pytest.mark.parametrize(("status", "cost"), [(200, 1), (404, 1), (403, 0), (301, 0), (201, 0)])
def test_only_200_and_404_are_charged(status: int, cost: int) -> None:
    headers = convert(status, "", [], b"", wanted=None, binary=False).response["headers"]
    assert headers["sa-credit-cost"] == str(cost)


def test_headers_are_lower_case_joined_and_true_of_the_body() -> None:
    pairs = [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "3"),
        ("Transfer-Encoding", "chunked"),
    ]
    headers = convert(200, "", pairs, b"hello", wanted=None, binary=False).response["headers"]
    assert headers["set-cookie"] == "a=1, b=2"
    assert not {"content-encoding", "content-length", "transfer-encoding"} & headers.keys()


@pytest.mark.parametrize(
    ("content_type", "body", "binary"),
    [
        ("text/html; charset=x", b"\0", False),
        ("application/json", b"", False),
        ("application/ld+json", b"", False),
        ("image/svg+xml", b"", False),
        ("application/xhtml+xml", b"", False),
        ("image/png", b"", True),
        ("application/pdf", b"%PDF", True),
        ("application/octet-stream", b"text", True),
        ("", b"text", False),
        ("", b"PK\0\0", True),
    ],
)
def test_binary_bodies_are_recognised_by_type_or_bytes(content_type: str, body: bytes, binary: bool) -> None:
    assert is_binary(content_type, body) is binary


def test_binary_bodies_are_base64() -> None:
    body = bytes(range(256))
    for options in ({"content_type": "image/png"}, {"binary": True}):
        document = made(body, **options)
        assert base64.b64decode(document["base64EncodedBody"]) == body
        assert "body" not in document


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=utf-8", "Grüße".encode()),
        ("text/html; charset=ISO-8859-1", "Grüße".encode("latin-1")),
        ('text/html; charset="windows-1251"', "Привет".encode("windows-1251")),
        ("text/html; charset=shift_jis", "日本".encode("shift_jis")),
        ("text/html", '<meta charset="windows-1251">Привет'.encode("windows-1251")),
        ("text/html", '<meta http-equiv=Content-Type content="text/html; charset=euc-jp">日本'.encode("euc-jp")),
        ("text/xml", '<?xml version="1.0" encoding="koi8-r"?>Привет'.encode("koi8-r")),
        ("text/html", "Grüße".encode()),
        ("text/html", "Grüße €".encode("windows-1252")),
        ("text/html", "Grüße".encode("utf-8-sig")),
        ("text/html", "Grüße".encode("utf-16")),
        ("text/html; charset=nonsense", "Grüße".encode()),
        ("text/html; charset=base64", "Grüße".encode()),
    ],
)
def test_the_targets_charset_is_honoured(content_type: str, body: bytes) -> None:
    words = ("Grüße", "Привет", "日本")
    text = decode(content_type, body)
    assert any(text.removesuffix(" €").endswith(word) for word in words), text


def test_bytes_of_no_known_charset_are_still_decoded() -> None:
    assert decode("text/html; charset=utf-8", b"a\xffb") == "a�b"
    assert decode("", bytes(range(256)))


def test_text_reads_as_a_person_reads_it() -> None:
    assert to_text(HTML) == "Title\nOne two!\na\nb"
    assert to_text("") == ""


def test_markdown_keeps_the_structure_and_drops_the_scripts() -> None:
    assert to_markdown(HTML) == "# Title\n\nOne **two**!\n\n* a\n* b"


def test_output_format_leaves_alone_what_is_not_html() -> None:
    assert made(b'{"a": "<b>"}', "application/json", wanted="text")["body"] == '{"a": "<b>"}'
    assert made(HTML.encode(), "text/html", wanted="text")["body"].startswith("Title")
