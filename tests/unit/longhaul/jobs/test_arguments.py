"""The arguments of `jobs.submit`: what is taken, what is refused and in which words."""

import re
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longhaul.errors import InvalidArgument
from longhaul.jobs.arguments import ARGUMENTS, NewJob, read_new_job
from longhaul.scraperapi.models import ScrapeRequest
from longhaul.work.arguments import IntakeRules

RULES = IntakeRules(("default", "second"), "https://us.test/hooks", secret=True)
POLLING = IntakeRules(("default",))
URL = "https://example.com/a?b=c"
SECRET = "hunter2-hunter2"


def read(**arguments):
    return read_new_job({"url": URL} | arguments, RULES)


def refused(**arguments):
    with pytest.raises(InvalidArgument) as error:
        read(**arguments)
    return str(error.value)


def test_a_url_alone_is_enough():
    assert read_new_job({"url": URL}, POLLING) == NewJob(ScrapeRequest(URL))


def test_every_argument_arrives():
    wanted = {
        "url": URL,
        "method": "post",
        "headers": {"X-Key": SECRET},
        "body": "a=1",
        "api_params": {"render": True},
        "meta": {"order": 7},
        "timeout_sec": 30,
        "queue": "shop.prices",
        "account": "second",
        "resubmit": 0,
        "callback": "https://other.test/x/",
    }
    assert set(wanted) == set(ARGUMENTS)
    assert read_new_job(wanted, RULES) == NewJob(
        ScrapeRequest(URL, "POST", {"X-Key": SECRET}, "a=1", {"render": True}, 30),
        meta={"order": 7},
        queue="shop.prices",
        account="second",
        resubmit=0,
        callback="https://other.test/x",
    )


def test_none_is_as_good_as_nothing_where_an_argument_may_be_left_out():
    assert read(headers=None, body=None, api_params=None, meta=None, timeout_sec=None, callback=None) == read()


class TestUrl:
    def test_a_missing_url_is_said(self):
        with pytest.raises(InvalidArgument, match=r"^url: is missing: every job needs the address of its target$"):
            read_new_job({}, RULES)

    @pytest.mark.parametrize(
        ("url", "rule"),
        [
            (7, "must be a string"),
            (["https://a"], "must be a string"),
            ("", "must be an http:// or https:// address with a host"),
            ("example.com", "must be an http:// or https:// address with a host"),
            ("ftp://example.com", "must be an http:// or https:// address with a host"),
            ("file:///etc/passwd", "must be an http:// or https:// address with a host"),
            ("javascript:alert(1)", "must be an http:// or https:// address with a host"),
            ("http://", "must be an http:// or https:// address with a host"),
            ("http:///path", "must be an http:// or https:// address with a host"),
            ("http://user@/x", "must be an http:// or https:// address with a host"),
            ("http://a b", "must not contain spaces or control characters; percent-encode them"),
            ("http://a/\n", "must not contain spaces or control characters; percent-encode them"),
            ("http://a/\x7f", "must not contain spaces or control characters; percent-encode them"),
            (" http://a", "must not contain spaces or control characters; percent-encode them"),
            ("http://a:99999/", "is not a URL (Port out of range 0-65535)"),
            ("http://[::1/", "is not a URL (Invalid IPv6 URL)"),
        ],
    )
    def test_a_wrong_url_is_shown_with_its_rule(self, url, rule):
        assert refused(url=url) == f"url: {url!r}: {rule}"

    def test_a_url_has_at_most_8192_characters(self):
        longest = "http://a/" + "x" * (8192 - 9)
        assert read(url=longest).request.url == longest
        assert refused(url=longest + "x").endswith("… (8195 characters): must be at most 8192 characters long")

    @pytest.mark.parametrize(
        "url",
        ["HTTP://EXAMPLE.COM", "https://user:pw@example.com:8443/x#y", "http://[::1]:8080/", "https://münchen.de/ß"],
    )
    def test_what_is_a_url_is_left_as_it_is(self, url):
        assert read(url=url).request.url == url


class TestRequest:
    @pytest.mark.parametrize("method", ["get", "HEAD", "Post", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_methods_are_taken_in_any_case(self, method):
        assert read(method=method).request.method == method.upper()

    @pytest.mark.parametrize("method", ["", "TRACE", "CONNECT", "GET ", None, 7])
    def test_other_methods_are_refused(self, method):
        assert (
            refused(method=method) == f"method: {method!r}: must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
        )

    @pytest.mark.parametrize("name", ["", "X Y", "X:Y", "X\n", "Ä", "X\0"])
    def test_a_headers_name_is_a_token(self, name):
        assert refused(headers={name: "v"}) == f"headers: {name!r}: is not a header's name"

    @pytest.mark.parametrize("content", [f"{SECRET}\n", f"{SECRET}\rX: y", f"\0{SECRET}"])
    def test_a_header_with_a_line_break_is_refused_without_being_quoted(self, content):
        assert refused(headers={"X-Key": content}) == (
            f"headers[X-Key]: a str of {len(content)} characters (not shown, it may be secret): must not contain a line break"
        )

    @pytest.mark.parametrize("content", [7, None, [SECRET], SECRET.encode()])
    def test_a_header_that_is_no_string_is_refused_without_being_quoted(self, content):
        message = refused(headers={"X-Key": content})
        assert message == f"headers[X-Key]: a {type(content).__name__} (not shown, it may be secret): must be a string"

    @pytest.mark.parametrize("headers", [f"Authorization: {SECRET}", [["Authorization", SECRET]], {7: SECRET}, 7, True])
    def test_headers_that_are_no_object_are_refused_without_being_quoted(self, headers):
        message = refused(headers=headers)
        assert message.startswith("headers: a ")
        assert message.endswith("(not shown, it may be secret): must be an object with string keys")
        assert SECRET not in message

    @pytest.mark.parametrize("body", [{"password": SECRET}, [SECRET], 7, True, SECRET.encode()])
    def test_a_body_that_is_no_string_is_refused_without_being_quoted(self, body):
        message = refused(body=body)
        assert message.startswith(f"body: a {type(body).__name__} (not shown")
        assert SECRET not in message

    @pytest.mark.parametrize("params", ["render", [1], 7, {7: 1}])
    def test_api_params_are_an_object(self, params):
        assert refused(api_params=params) == f"api_params: {params!r}: must be an object with string keys"

    @pytest.mark.parametrize("value", [datetime(2026, 1, 1, tzinfo=UTC), b"x", {1, 2}, float("nan"), float("inf")])
    @pytest.mark.parametrize("argument", ["api_params", "meta"])
    def test_what_is_not_json_is_refused_at_once(self, argument, value):
        message = refused(**{argument: {"a": value}})
        assert message.startswith(f"{argument}: { ({'a': value})!r}: must be JSON (")

    @pytest.mark.parametrize("argument", ["api_params", "meta"])
    def test_what_is_too_deep_to_be_read_again_is_refused(self, argument):
        deep = {}
        for _ in range(30_000):
            deep = {"a": deep}
        assert refused(**{argument: deep}) == f"{argument}: an object nested more than 100 deep: must be flatter"

    @pytest.mark.parametrize("timeout", [0, -1, 259_201, float("nan"), float("inf"), True, "30", [30]])
    def test_a_timeout_is_a_number_of_seconds_up_to_72_hours(self, timeout):
        assert (
            refused(timeout_sec=timeout)
            == f"timeout_sec: {timeout!r}: must be a number of seconds above 0 and at most 259200"
        )

    @pytest.mark.parametrize("timeout", [0.5, 1, 259_200])
    def test_a_timeout_within_its_bounds_is_taken(self, timeout):
        assert read(timeout_sec=timeout).request.timeout_sec == timeout


class TestTheRest:
    def test_meta_is_an_object(self):
        assert refused(meta=[1]) == "meta: [1]: must be an object with string keys"

    def test_an_empty_meta_is_kept(self):
        assert read(meta={}).meta == {}

    def test_meta_has_at_most_16_kb_counted_in_bytes(self):
        fits = {"a": "ä" * ((16 * 1024 - len('{"a":""}')) // 2)}
        assert read(meta=fits).meta == fits
        assert refused(meta={"a": fits["a"] + "x"}).endswith("must be at most 16384 bytes of JSON; this is 16385")

    def test_a_lone_surrogate_in_meta_is_taken(self):
        assert read(meta={"a": "\ud800"}).meta == {"a": "\ud800"}

    @pytest.mark.parametrize("queue", ["results", "a", "9", "shop.prices-2_x", "x" * 64])
    def test_a_queues_name_is_plain(self, queue):
        assert read(queue=queue).queue == queue

    @pytest.mark.parametrize(
        "queue",
        [
            "",
            "a:b",
            "a:{b}",
            "../x",
            ".x",
            "-x",
            "_x",
            "a b",
            "a\n",
            "a\0",
            "ä",
            "*",
            "x" * 65,
            "results\n",
            None,
            7,
            ["results"],
        ],
    )
    def test_a_queues_name_cannot_leave_its_key_space(self, queue):
        assert (
            refused(queue=queue)
            == f"queue: {queue!r}: must be 1 to 64 letters, digits, '_', '-' or '.', beginning with a letter or digit"
        )

    @pytest.mark.parametrize("account", ["other", "", None, 7, ["default"]])
    def test_an_account_is_one_of_this_installation(self, account):
        assert (
            refused(account=account)
            == f"account: {account!r}: is not an account of this installation (default, second)"
        )

    def test_without_any_account_the_message_says_what_to_set(self):
        with pytest.raises(InvalidArgument, match=r"\(none: set LONGHAUL_API_KEY\)$"):
            read_new_job({"url": URL}, IntakeRules(()))

    @pytest.mark.parametrize("resubmit", [-1, 11, 1.0, True, "1", None])
    def test_resubmit_is_a_whole_number_up_to_10(self, resubmit):
        assert refused(resubmit=resubmit) == f"resubmit: {resubmit!r}: must be a whole number from 0 to 10"

    @pytest.mark.parametrize(
        ("callback", "terms", "address"),
        [
            (None, RULES, "https://us.test/hooks"),
            (True, RULES, "https://us.test/hooks"),
            (False, RULES, ""),
            (None, POLLING, ""),
            (False, POLLING, ""),
            ("http://them.test/", IntakeRules(("default",), secret=True), "http://them.test"),
        ],
    )
    def test_the_receiver_is_used_unless_the_caller_says_otherwise(self, callback, terms, address):
        assert read_new_job({"url": URL, "callback": callback}, terms).callback == address

    def test_a_callback_without_a_receiver_is_refused(self):
        with pytest.raises(
            InvalidArgument, match=r"^callback: True: needs LONGHAUL_PUBLIC_URL to be set where the workers run$"
        ):
            read_new_job({"url": URL, "callback": True}, POLLING)

    @pytest.mark.parametrize("callback", [0, 1, "", "mailto:x", {}])
    def test_another_callback_is_a_url(self, callback):
        assert re.match(
            r"callback: a \w+( of \d+ characters)? \(not shown, it may be secret\): must be", refused(callback=callback)
        )

    @pytest.mark.parametrize(
        "host", ["mailto:{}", "ftp://me:{}@host/", "http://me:{}/", "http://me:{}@ho st/", "http://me:{}@[h/"]
    )
    def test_a_callback_is_not_quoted_for_it_may_carry_a_password(self, host):
        assert "pass-word" not in refused(callback=host.format("pass-word"))

    @pytest.mark.parametrize("name", ["uri", "header", "api_key", "data", ""])
    def test_an_unknown_argument_is_named_and_its_value_is_not_quoted(self, name):
        message = refused(**{name: SECRET})
        assert message == (
            f"{name}: a str of 15 characters (not shown, it may be secret): is not an argument of jobs.submit; those are {', '.join(ARGUMENTS)}"
        )


@given(
    st.dictionaries(
        st.sampled_from(ARGUMENTS), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())
    )
)
def test_whatever_is_given_it_is_taken_or_refused_with_words(arguments):
    with suppress(InvalidArgument):
        assert read_new_job(arguments, RULES).request.url == arguments["url"]


def test_a_receivers_address_is_refused_where_no_secret_makes_it_unguessable():
    with pytest.raises(
        InvalidArgument, match=r"callback: a str of 17 characters \(not shown.*\): needs LONGHAUL_WEBHOOK_SECRET"
    ):
        read_new_job({"url": URL, "callback": "http://them.test/"}, POLLING)
