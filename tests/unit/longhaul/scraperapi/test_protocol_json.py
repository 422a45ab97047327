"""JSON as the remote sends it: read and written as it is, and no answer at all makes a reader raise."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longhaul.scraperapi.models import Finished, Malformed
from longhaul.scraperapi.protocol import (
    MOST_LEVELS,
    HttpAnswer,
    dump_json,
    load_json,
    read_cancelled,
    read_job,
    read_polled,
    read_submitted,
)
from tests.unit.longhaul.scraperapi.answers import NOW

READERS = [read_submitted, read_polled, read_cancelled]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


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
