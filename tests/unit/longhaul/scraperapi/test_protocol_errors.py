"""What the remote refuses, its words, and when it wants to be asked again."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longhaul.scraperapi.models import (
    AccountRefused,
    Interrupted,
    NotFound,
    Rejected,
    RemoteTrouble,
    Throttled,
    TooLarge,
    Unreachable,
)
from longhaul.scraperapi.protocol import (
    HttpAnswer,
    read_cancelled,
    read_polled,
    read_retry_after,
    read_submitted,
    read_words,
)
from tests.unit.longhaul.scraperapi.answers import NOW, answer

READERS = [read_submitted, read_polled, read_cancelled]


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
