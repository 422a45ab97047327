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
    read_bound,
    read_choice,
    read_expression,
    read_interval,
    read_method,
    read_object,
    read_schedule_name,
    read_seconds,
    read_whole_number,
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


def refusal_of(reader, *arguments):
    with pytest.raises(InvalidArgument) as refused:
        reader(*arguments)
    return str(refused.value)


def test_an_object_is_taken_up_to_its_size_in_bytes():
    assert read_object("meta", None, 9) is None
    assert read_object("meta", {"a": "ä"}, 10) == {"a": "ä"}
    assert refusal_of(read_object, "meta", {"a": "ä"}, 9).endswith("must be at most 9 bytes of JSON; this is 10")
    assert refusal_of(read_object, "meta", [1]) == "meta: [1]: must be an object with string keys"
    assert refusal_of(read_object, "meta", {1: 1}) == "meta: {1: 1}: must be an object with string keys"


@pytest.mark.parametrize("value", [0, 6, 1.0, True, "1", None])
def test_a_whole_number_is_within_its_bounds(value):
    assert [read_whole_number("n", fine, 1, 5) for fine in (1, 5)] == [1, 5]
    assert refusal_of(read_whole_number, "n", value, 1, 5) == f"n: {value!r}: must be a whole number from 1 to 5"
    assert refusal_of(read_whole_number, "n", value, 1, 5, "LIMIT").endswith("from 1 to 5 (LIMIT)")


def test_a_bound_may_be_left_out():
    assert (read_bound("n", None, 1, 5), read_bound("n", 5, 1, 5)) == (None, 5)
    assert refusal_of(read_bound, "n", 6, 1, 5, "LIMIT") == "n: 6: must be a whole number from 1 to 5 (LIMIT)"


@pytest.mark.parametrize("value", [0, -1, 10.1, True, "5", float("nan")])
def test_seconds_are_above_0_and_have_an_end(value):
    assert [read_seconds("t", fine, 10) for fine in (None, 0.5, 10)] == [None, 0.5, 10]
    assert (
        refusal_of(read_seconds, "t", value, 10) == f"t: {value!r}: must be a number of seconds above 0 and at most 10"
    )


@pytest.mark.parametrize("value", ["c", None, ["a"], 1])
def test_a_choice_is_one_of_a_few(value):
    assert read_choice("x", "b", ("a", "b")) == "b"
    assert refusal_of(read_choice, "x", value, ("a", "b")) == f"x: {value!r}: must be one of a, b"


def test_an_expression_is_text():
    assert [read_expression("x", fine) for fine in (None, "", ".*")] == ["", "", ".*"]
    assert refusal_of(read_expression, "x", 7) == "x: 7: must be a string: a regular expression"


def test_a_schedule_has_an_interval_and_a_name():
    assert (read_interval("weekly"), read_schedule_name("n" * 200)) == ("weekly", "n" * 200)
    assert refusal_of(read_interval, "yearly").endswith("must be one of once, hourly, daily, weekly, monthly")
    assert refusal_of(read_schedule_name, "n" * 201).endswith("must be a string of at most 200 characters")
    assert refusal_of(read_schedule_name, None) == "schedule.name: None: must be a string of at most 200 characters"


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
