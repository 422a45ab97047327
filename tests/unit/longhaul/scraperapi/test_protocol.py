import json
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longhaul.scraperapi import protocol
from longhaul.scraperapi.models import (
    Accepted,
    AccountRefused,
    Cancelled,
    Failed,
    Finished,
    Interrupted,
    Malformed,
    NotFound,
    Rejected,
    RemoteTrouble,
    Running,
    ScrapeRequest,
    TargetResponse,
    Throttled,
    TooLarge,
    Unreachable,
)
from longhaul.scraperapi.protocol import (
    MOST_LEVELS,
    HttpAnswer,
    dump_json,
    load_json,
    read_cancelled,
    read_job,
    read_polled,
    read_retry_after,
    read_submitted,
    read_words,
)

NOW = 1_800_000_000.0
BASE = "http://remote.test"
JOB = {"id": "r1", "status": "running", "statusUrl": "http://remote.test/jobs/r1", "url": "https://example.com/"}
READERS = [read_submitted, read_polled, read_cancelled]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def answer(document, status=200, **headers):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def looked(document):
    return read_polled(answer(document), NOW)


class TestRequests:
    def test_a_plain_submission_carries_the_key_and_the_url_and_leaves_the_defaults_to_the_remote(self):
        request = protocol.submit(BASE, "k", ScrapeRequest("https://example.com/"))
        assert (request.method, request.url) == ("POST", "http://remote.test/jobs")
        assert request.headers == {"Content-Type": "application/json"}
        assert json.loads(request.body) == {"apiKey": "k", "url": "https://example.com/"}

    def test_a_full_submission_carries_everything_under_the_names_of_the_contract(self):
        wanted = ScrapeRequest(
            "https://example.com/", "POST", {"X-A": "1"}, "a=1", {"render": True, "country_code": "us"}, 30
        )
        request = protocol.submit(BASE, "k", wanted, "https://us.test/jobs/1")
        assert json.loads(request.body) == {
            "apiKey": "k",
            "url": "https://example.com/",
            "method": "POST",
            "headers": {"X-A": "1"},
            "body": "a=1",
            "apiParams": {"render": True, "country_code": "us"},
            "timeoutSec": 30,
            "callback": {"type": "webhook", "url": "https://us.test/jobs/1"},
            "expectUnsuccessReport": True,
        }

    def test_an_empty_body_is_a_body(self):
        assert (
            json.loads(protocol.submit(BASE, "k", ScrapeRequest("https://e.com/", "POST", body="")).body)["body"] == ""
        )

    @pytest.mark.parametrize(("build", "method"), [(protocol.poll, "GET"), (protocol.cancel, "DELETE")])
    def test_an_id_cannot_leave_its_place_in_the_address_and_no_key_is_in_it(self, build, method):
        request = build(BASE, "../x?y")
        assert (request.method, request.url) == (method, "http://remote.test/jobs/..%2Fx%3Fy")
        assert request.body is None

    def test_a_probe_carries_the_key_and_asks_for_a_job_that_there_is_not(self):
        request = protocol.probe(BASE, "a&b=c")
        assert (request.method, request.url) == (
            "GET",
            f"http://remote.test/jobs/{protocol.NO_SUCH_JOB}?api_key=a%26b%3Dc",
        )


class TestSubmitted:
    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_any_2xx_with_an_id_is_accepted(self, status):
        assert read_submitted(answer(JOB, status), NOW) == Accepted("r1")

    @pytest.mark.parametrize("document", [{}, {"id": ""}, {"id": None}, {"id": 7}, {"id": ["r1"]}])
    def test_an_acceptance_without_an_id_is_malformed(self, document):
        seen = read_submitted(answer(document), NOW)
        assert isinstance(seen, Malformed)
        assert seen.words.startswith("accepted without an id")

    @pytest.mark.parametrize("remote_id", ["\ud800", "ä", "a\nb", "x" * 201])
    def test_an_id_that_could_not_be_kept_or_asked_for_is_malformed(self, remote_id):
        assert isinstance(read_submitted(answer({"id": remote_id}), NOW), Malformed)


class TestLooked:
    @pytest.mark.parametrize("status", ["running", "queued", "", "FINISHED", "wat", "\ud800"])
    def test_a_status_that_is_no_end_is_still_running(self, status):
        assert looked(JOB | {"status": status}) == Running(status)

    @pytest.mark.parametrize("status", [None, 1, True, ["running"], {"a": 1}])
    def test_a_status_that_is_no_string_is_malformed(self, status):
        assert isinstance(looked({"id": "r1", "status": status}), Malformed)

    def test_no_status_at_all_is_malformed(self):
        assert looked({"id": "r1"}) == Malformed("no status: {'id': 'r1'}")

    def test_finished_carries_status_headers_body_and_credits(self):
        response = {"headers": {"sa-final-url": "u", "sa-credit-cost": "10"}, "body": "<html>", "statusCode": 404}
        assert looked(JOB | {"status": "finished", "response": response}) == Finished(
            TargetResponse(404, response["headers"], body="<html>", credits=10)
        )

    def test_the_credits_of_the_response_go_before_the_header(self):
        response = {"headers": {"sa-credit-cost": "10"}, "body": "", "statusCode": 200, "credits": 25}
        assert looked({"status": "finished", "response": response}).response.credits == 25

    @pytest.mark.parametrize("cost", ["", "many", None, [], float("inf"), float("nan")])
    def test_credits_that_are_no_number_are_unknown(self, cost):
        response = {"headers": {}, "body": "", "statusCode": 200, "credits": cost}
        assert looked({"status": "finished", "response": response}).response.credits is None

    def test_a_binary_body_stays_base64(self):
        response = {"headers": {}, "base64EncodedBody": "aGk=", "statusCode": 200}
        assert looked({"status": "finished", "response": response}) == Finished(
            TargetResponse(200, {}, base64_body="aGk=")
        )

    @pytest.mark.parametrize("body", [{"name": "x", "list": [1, None]}, [1, 2], "", "text", None])
    def test_a_body_is_handed_on_as_it_is(self, body):
        response = {"headers": {}, "body": body, "statusCode": 200}
        assert looked({"status": "finished", "response": response}) == Finished(TargetResponse(200, {}, body=body))

    def test_numbers_that_are_no_json_are_handed_on_as_nothing(self):
        seen = looked(
            b'{"status":"finished","response":{"statusCode":200,"headers":{},"body":{"a":NaN,"b":[-Infinity,1]}}}'
        )
        assert seen == Finished(TargetResponse(200, {}, body={"a": None, "b": [None, 1]}))

    @pytest.mark.parametrize("name", ["statusCode", "credits"])
    def test_a_number_beyond_all_bounds_does_not_raise(self, name):
        seen = looked(
            b'{"status":"finished","response":{"statusCode":200,"headers":{},"body":"","' + name.encode() + b'":1e999}}'
        )
        assert isinstance(seen, Malformed) if name == "statusCode" else seen.response.credits is None

    def test_a_response_without_a_body_has_an_empty_one(self):
        assert looked({"status": "finished", "response": {"statusCode": 204, "headers": {}}}) == Finished(
            TargetResponse(204, {}, body="")
        )

    def test_a_missing_status_code_is_taken_from_the_headers(self):
        assert (
            looked(
                {"status": "finished", "response": {"headers": {"sa-statuscode": "503"}, "body": "x"}}
            ).response.status_code
            == 503
        )

    @pytest.mark.parametrize("headers", [None, [], "text", 7])
    def test_headers_that_are_no_object_are_none(self, headers):
        assert (
            looked(
                {"status": "finished", "response": {"headers": headers, "body": "", "statusCode": 200}}
            ).response.headers
            == {}
        )

    @pytest.mark.parametrize("code", [None, "", "ok", [], {}, float("inf"), float("nan")])
    def test_a_status_code_that_is_no_number_is_malformed(self, code):
        seen = looked({"status": "finished", "response": {"statusCode": code, "headers": {}}})
        assert isinstance(seen, Malformed)
        assert seen.words.startswith("finished with statusCode")

    @pytest.mark.parametrize("response", [None, "x", [], 1])
    def test_finished_without_a_response_is_malformed(self, response):
        assert looked({"status": "finished", "response": response}) == Malformed("finished without a response")

    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            ({"failReason": "failed_due_to_timeout", "attempts": 50}, "failed_due_to_timeout"),
            ({"failReason": "a_new_one"}, "a_new_one"),
            ({"failReason": ""}, "failed without a reason"),
            ({"failReason": {"code": 1}}, "{'code': 1}"),
            ({}, "failed without a reason"),
        ],
    )
    def test_failed_carries_the_reason_from_an_open_set(self, document, reason):
        assert looked({"id": "r1", "status": "failed"} | document) == Failed(reason)

    def test_cancelled_is_cancelled(self):
        assert looked({"status": "cancelled"}) == Cancelled()

    def test_a_webhook_reads_like_a_look(self):
        document = {"id": "r1", "status": "finished", "response": {"statusCode": 200, "headers": {}, "body": "x"}}
        assert read_job(document) == looked(document)


@pytest.mark.parametrize("read", [read_submitted, read_polled])
class TestMalformed:
    @pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'{"a":}', b"\xff\xfe\x00", b"[" * 100_000, b"9" * 5000])
    def test_2xx_that_is_not_json_is_malformed_and_quoted_in_part(self, read, body):
        seen = read(answer(body), NOW)
        assert isinstance(seen, Malformed)
        assert len(seen.words) < 600

    @pytest.mark.parametrize("document", [[], [JOB], "x", 1, None, True])
    def test_2xx_that_is_no_object_is_malformed(self, read, document):
        assert read(answer(document), NOW) == Malformed(f"not an object: {document!r}"[:95])


@pytest.mark.parametrize("read", READERS)
class TestRefusals:
    @pytest.mark.parametrize("status", [400, 405, 411, 413, 415, 422])
    def test_a_malformed_request_is_rejected_with_the_remotes_words(self, read, status):
        assert read(answer(b"url is missing", status), NOW) == Rejected("url is missing")

    def test_a_rejection_without_words_says_its_code(self, read):
        assert read(answer(b"", 400), NOW) == Rejected("HTTP 400")

    @pytest.mark.parametrize("status", [401, 403])
    def test_401_and_403_are_the_accounts_trouble(self, read, status):
        assert read(answer(b"no credits", status), NOW) == AccountRefused(status, "no credits")

    @pytest.mark.parametrize(
        "words", ["max_cost exceeded", "The request exceeds the MAX COST", '{"error": "over max_cost"}']
    )
    def test_a_403_about_max_cost_is_this_jobs_own(self, read, words):
        assert isinstance(read(answer(words.encode(), 403), NOW), Rejected)

    def test_404_is_not_found_and_410_is_gone(self, read):
        assert read(answer(b"", 404), NOW) == NotFound(gone=False)
        assert read(answer(b"", 410), NOW) == NotFound(gone=True)

    @pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
    def test_429_carries_retry_after_whatever_its_spelling(self, read, name):
        assert read(HttpAnswer(429, {name: "7"}, b""), NOW) == Throttled(7.0)

    def test_429_without_retry_after_says_nothing(self, read):
        assert read(answer(b"slow down", 429), NOW) == Throttled(None)

    @pytest.mark.parametrize("name", ["sa-statuscode", "SA-StatusCode"])
    def test_429_of_the_target_is_not_the_accounts(self, read, name):
        assert read(HttpAnswer(429, {name: "429"}, b"busy"), NOW) == RemoteTrouble(429, "busy")

    @pytest.mark.parametrize("status", [301, 302, 304, 402, 408, 409, 418, 451, 500, 502, 503, 504, 599])
    def test_every_other_code_is_the_remotes_trouble(self, read, status):
        assert read(answer(b"oops", status), NOW) == RemoteTrouble(status, "oops")

    @pytest.mark.parametrize("outcome", [Unreachable("refused"), Interrupted("reset"), TooLarge(5)])
    def test_what_is_no_answer_is_handed_on(self, read, outcome):
        assert read(outcome, NOW) == outcome


class TestCancelled:
    @pytest.mark.parametrize("body", [b"", b"OK", b'{"status": "cancelled"}', b'{"status": "finished"}', b"[]", b"{"])
    @pytest.mark.parametrize("status", [200, 202, 204])
    def test_any_2xx_means_that_it_does_not_run_any_more(self, body, status):
        assert read_cancelled(answer(body, status), NOW) == Cancelled()


class TestWords:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"plain text\n", "plain text"),
            (b'{"status": "error", "statusCode": 404, "error": "unknown job"}', "unknown job"),
            (b'{"message": "m", "detail": "d"}', "m"),
            (b'{"detail": "d"}', "d"),
            (b'{"failReason": "f"}', "f"),
            (b'{"error": {"code": 1}}', '{"error": {"code": 1}}'),
            (b'["a"]', '["a"]'),
            (b"\xff", "\ufffd"),
            (b"", ""),
        ],
    )
    def test_both_plain_text_and_json_errors_are_read(self, body, words):
        assert read_words(body) == words

    @pytest.mark.parametrize("body", [b"x" * 9000, b'{"error": "' + b"x" * 9000 + b'"}'])
    def test_long_words_are_cut(self, body):
        assert read_words(body) == "x" * 500

    def test_words_can_be_written_anywhere_even_where_they_held_half_a_character(self):
        assert read_words(b'{"error": "a\\ud800b"}').encode() == b"a?b"


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (None, None),
            ("0", 0.0),
            ("120", 120.0),
            ("1.5", 1.5),
            ("-3", 0.0),
            ("nan", 0.0),
            ("", None),
            ("soon", None),
            ("Fri, 99 Foo 2026 99:99:99 GMT", None),
            (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
            (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0.0),
        ],
    )
    def test_seconds_dates_and_garbage(self, value, seconds):
        assert read_retry_after(value, NOW) == seconds

    @given(st.text())
    def test_no_text_at_all_raises(self, value):
        found = read_retry_after(value, NOW)
        assert found is None or found >= 0


class TestJson:
    @pytest.mark.parametrize("value", ["ä€😀", "lone \ud800 surrogate", {"\udfff": ["\ud83d", 1.5, None]}])
    def test_text_comes_back_as_it_was_even_a_lone_surrogate(self, value):
        written = dump_json(value)
        assert json.loads(written.decode("utf-8")) == value

    def test_it_is_short_and_readable(self):
        assert dump_json({"a": ["ä", 1]}) == '{"a":["ä",1]}'.encode()

    @given(json_values)
    def test_whatever_was_read_can_be_written(self, value):
        # JSON has no infinity: it is read, and written, as nothing.
        assert json.dumps(json.loads(dump_json(value))) == json.dumps(load_json(json.dumps(value).encode()))

    @pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
    def test_what_is_no_number_is_written_as_nothing(self, value):
        assert dump_json({"x": [value, 1.5]}) == b'{"x":[null,1.5]}'

    @pytest.mark.parametrize("deep", [100, 400])
    def test_what_is_nested_is_read_and_written_however_deep_a_page_may_be(self, deep):
        data = b"[" * deep + b"1" + b"]" * deep
        assert dump_json(load_json(data)) == data

    @pytest.mark.parametrize(
        "data", [b"", b"{", b'"\\x"', b'"raw \n line"', b'"\xff"', b"1 2", b"\xef\xbb\xbf1", b"'a'"]
    )
    def test_what_is_no_json_is_refused(self, data):
        with pytest.raises(ValueError):
            load_json(data)


@given(
    st.sampled_from(READERS),
    st.integers(200, 599),
    st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()),
)
def test_no_answer_at_all_raises(read, status, body):
    read(HttpAnswer(status, {}, body), NOW)


@given(st.dictionaries(st.sampled_from(["id", "status", "response", "failReason"]), json_values))
def test_no_document_at_all_raises(document):
    read_job(document)


@given(
    st.dictionaries(
        st.sampled_from(["statusCode", "headers", "body", "base64EncodedBody", "credits"]),
        json_values | st.dictionaries(st.sampled_from(["sa-statuscode", "sa-credit-cost"]), json_values),
    )
)
def test_no_response_at_all_raises(response):
    assert isinstance(read_job({"status": "finished", "response": response}), Finished | Malformed)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":[1,'])
def test_what_is_nested_too_deeply_is_refused_on_every_python(opening):
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"a":[1,': b"]}]"}[opening]
    levels = 3 if len(closing) > 1 else 1
    most = MOST_LEVELS // levels
    whole = load_json(opening * most + b"1" + closing * most)
    assert load_json(dump_json([[[whole]]])[3:-3]) == whole
    with pytest.raises(RecursionError):
        load_json(opening * (most + 1) + b"1" + closing * (most + 1))


def test_a_result_that_is_nested_too_deeply_is_malformed():
    body = b"[" * MOST_LEVELS + b"]" * MOST_LEVELS
    seen = read_polled(HttpAnswer(200, {}, b'{"status":"finished","response":{"body":' + body + b"}}"), NOW)
    assert isinstance(seen, Malformed)
    assert seen.words.startswith("not JSON (nested more than 500 deep)")
