import pytest
from hypothesis import given
from hypothesis import strategies as st

from longhaul.errors import InvalidArgument
from longhaul.scraperapi.fields import (
    DEEPEST,
    breaks_line,
    check_header_name,
    http_host,
    is_number,
    is_object,
    json_size,
    read_method,
    secretive,
)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Example.com:80/x", "example.com"),
        ("HTTPS://u:p@h", "h"),
        ("http://[::1]:1/", "::1"),
        ("https://münchen.de/ß", "münchen.de"),
    ],
)
def test_the_host_of_an_address_is_told(url, host):
    assert http_host("url", url) == host


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "must be an http:// or https:// address with a host"),
        ("ftp://h/", "must be an http:// or https:// address with a host"),
        ("http://u@/", "must be an http:// or https:// address with a host"),
        ("http://h:99999/", "is not a URL (Port out of range 0-65535)"),
        ("http://[::1/", "is not a URL (Invalid IPv6 URL)"),
    ],
)
def test_what_is_no_http_address_is_refused(url, rule):
    with pytest.raises(InvalidArgument) as refused:
        http_host("callback.url", url)
    assert str(refused.value) == f"callback.url: {url!r}: {rule}"


def test_methods_are_taken_in_any_case():
    assert read_method("pAtCh") == "PATCH"
    with pytest.raises(
        InvalidArgument, match=r"^method: 'TRACE': must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS$"
    ):
        read_method("TRACE")


@given(st.text())
def test_a_headers_name_or_value_that_is_taken_is_safe_to_send(text):
    try:
        check_header_name(text)
    except InvalidArgument:
        pass
    else:
        assert text.isascii()
        assert text.isprintable()
        assert not set(text) & set(" :")
    assert breaks_line(text) == bool(set(text) & set("\r\n\0"))


def test_objects_are_measured_in_bytes_of_json():
    assert json_size("meta", {"a": "ä"}) == len('{"a":"ä"}'.encode())
    assert json_size("meta", {"a": "\ud800"}) == len('{"a":""}') + 3


def nested(levels):
    value = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_objects_have_at_most_100_levels():
    assert json_size("meta", nested(DEEPEST)) > 0
    with pytest.raises(InvalidArgument, match=r"^meta: an object nested more than 100 deep: must be flatter$"):
        json_size("meta", nested(DEEPEST + 1))


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), b"x", {1}])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(InvalidArgument, match=r"^meta: .*: must be JSON \(.*; NaN and infinity are none\)$"):
        json_size("meta", {"a": value})


def test_kinds_are_those_of_json():
    assert is_object({"a": 1})
    assert not is_object({1: 1})
    assert is_number(1.5)
    assert not is_number(True)  # noqa: FBT003  (the case)


def test_a_secret_is_described_and_not_quoted():
    assert (
        str(secretive("body", "hunter2", "must be X"))
        == "body: a str of 7 characters (not shown, it may be secret): must be X"
    )
    assert str(secretive("body", 7, "must be X")) == "body: a int (not shown, it may be secret): must be X"
