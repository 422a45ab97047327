"""Requests to the remote, and what its answers to submissions, polls and cancellations show."""

import json

import pytest

from longhaul.scraperapi import protocol
from longhaul.scraperapi.models import (
    Accepted,
    Cancelled,
    Failed,
    Finished,
    Malformed,
    Running,
    ScrapeRequest,
    TargetResponse,
)
from longhaul.scraperapi.protocol import read_cancelled, read_job, read_polled, read_submitted
from tests.unit.longhaul.scraperapi.answers import NOW, answer, polled

BASE = "http://remote.test"


JOB = {"id": "r1", "status": "running", "statusUrl": "http://remote.test/jobs/r1", "url": "https://example.com/"}


READERS = [read_submitted, read_polled, read_cancelled]


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


class TestPolled:
    @pytest.mark.parametrize("status", ["running", "queued", "", "FINISHED", "wat", "\ud800"])
    def test_a_status_that_is_no_end_is_still_running(self, status):
        assert polled(JOB | {"status": status}) == Running(status)

    @pytest.mark.parametrize("status", [None, 1, True, ["running"], {"a": 1}])
    def test_a_status_that_is_no_string_is_malformed(self, status):
        assert isinstance(polled({"id": "r1", "status": status}), Malformed)

    def test_no_status_at_all_is_malformed(self):
        assert polled({"id": "r1"}) == Malformed("no status: {'id': 'r1'}")

    def test_finished_carries_status_headers_body_and_credits(self):
        response = {"headers": {"sa-final-url": "u", "sa-credit-cost": "10"}, "body": "<html>", "statusCode": 404}
        assert polled(JOB | {"status": "finished", "response": response}) == Finished(
            TargetResponse(404, response["headers"], body="<html>", credits=10)
        )

    def test_the_credits_of_the_response_go_before_the_header(self):
        response = {"headers": {"sa-credit-cost": "10"}, "body": "", "statusCode": 200, "credits": 25}
        assert polled({"status": "finished", "response": response}).response.credits == 25

    @pytest.mark.parametrize("cost", ["", "many", None, [], float("inf"), float("nan")])
    def test_credits_that_are_no_number_are_unknown(self, cost):
        response = {"headers": {}, "body": "", "statusCode": 200, "credits": cost}
        assert polled({"status": "finished", "response": response}).response.credits is None

    def test_a_binary_body_stays_base64(self):
        response = {"headers": {}, "base64EncodedBody": "aGk=", "statusCode": 200}
        assert polled({"status": "finished", "response": response}) == Finished(
            TargetResponse(200, {}, base64_body="aGk=")
        )

    @pytest.mark.parametrize("body", [{"name": "x", "list": [1, None]}, [1, 2], "", "text", None])
    def test_a_body_is_handed_on_as_it_is(self, body):
        response = {"headers": {}, "body": body, "statusCode": 200}
        assert polled({"status": "finished", "response": response}) == Finished(TargetResponse(200, {}, body=body))

    def test_numbers_that_are_no_json_are_handed_on_as_nothing(self):
        seen = polled(
            b'{"status":"finished","response":{"statusCode":200,"headers":{},"body":{"a":NaN,"b":[-Infinity,1]}}}'
        )
        assert seen == Finished(TargetResponse(200, {}, body={"a": None, "b": [None, 1]}))

    @pytest.mark.parametrize("name", ["statusCode", "credits"])
    def test_a_number_beyond_all_bounds_does_not_raise(self, name):
        seen = polled(
            b'{"status":"finished","response":{"statusCode":200,"headers":{},"body":"","' + name.encode() + b'":1e999}}'
        )
        assert isinstance(seen, Malformed) if name == "statusCode" else seen.response.credits is None

    def test_a_response_without_a_body_has_an_empty_one(self):
        assert polled({"status": "finished", "response": {"statusCode": 204, "headers": {}}}) == Finished(
            TargetResponse(204, {}, body="")
        )

    def test_a_missing_status_code_is_taken_from_the_headers(self):
        assert (
            polled(
                {"status": "finished", "response": {"headers": {"sa-statuscode": "503"}, "body": "x"}}
            ).response.status_code
            == 503
        )

    @pytest.mark.parametrize("headers", [None, [], "text", 7])
    def test_headers_that_are_no_object_are_none(self, headers):
        assert (
            polled(
                {"status": "finished", "response": {"headers": headers, "body": "", "statusCode": 200}}
            ).response.headers
            == {}
        )

    @pytest.mark.parametrize("code", [None, "", "ok", [], {}, float("inf"), float("nan")])
    def test_a_status_code_that_is_no_number_is_malformed(self, code):
        seen = polled({"status": "finished", "response": {"statusCode": code, "headers": {}}})
        assert isinstance(seen, Malformed)
        assert seen.words.startswith("finished with statusCode")

    @pytest.mark.parametrize("response", [None, "x", [], 1])
    def test_finished_without_a_response_is_malformed(self, response):
        assert polled({"status": "finished", "response": response}) == Malformed("finished without a response")

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
        assert polled({"id": "r1", "status": "failed"} | document) == Failed(reason)

    def test_cancelled_is_cancelled(self):
        assert polled({"status": "cancelled"}) == Cancelled()

    def test_a_webhook_reads_like_a_poll(self):
        document = {"id": "r1", "status": "finished", "response": {"statusCode": 200, "headers": {}, "body": "x"}}
        assert read_job(document) == polled(document)


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


class TestCancelled:
    @pytest.mark.parametrize("body", [b"", b"OK", b'{"status": "cancelled"}', b'{"status": "finished"}', b"[]", b"{"])
    @pytest.mark.parametrize("status", [200, 202, 204])
    def test_any_2xx_means_that_it_does_not_run_any_more(self, body, status):
        assert read_cancelled(answer(body, status), NOW) == Cancelled()
