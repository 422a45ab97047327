"""A page's text goes from the event into the envelope as it stands, and only where it is what it seems to be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longhaul.scraperapi.models import RawJson
from longhaul.scraperapi.protocol import dump_json
from longhaul.scraperapi.raw_json import QUOTES_TRIED, dump_carrying, read_carrying

HTML = '<a href="x">\\"ä\n</a> {"body":"no","a":"b"}, and "more",'


def event(body, **after):
    return {"url": "http://x/", "status": "finished", "response": {"headers": {"a": "b"}, "body": body, **after}}


def carried(data):
    document = read_carrying(data)
    assert document is not None
    text = document["response"].pop("body")
    assert isinstance(text, RawJson)
    return document, text


@pytest.mark.parametrize("after", [{}, {"statusCode": 200}, {"statusCode": 200, "credits": None, "more": {}}])
@pytest.mark.parametrize("body", [HTML, "", '"', ", ", "ä\u2028\x7f"])
def test_an_event_as_its_senders_write_it_is_carried(body, after):
    document, text = carried(dump_json(event(body, **after)))
    assert text.text == dump_json(body)
    assert document["response"] == {"headers": {"a": "b"}, **after}
    assert document["url"] == "http://x/"


OTHERS = st.dictionaries(st.sampled_from(["body", 'x"body', "x"]), st.text() | st.integers())


@given(st.text(), OTHERS, OTHERS)
def test_whatever_is_carried_is_the_body(body, before, after):
    whole = {"meta": before, "response": {"headers": before, "body": body, "after": after}}
    document = read_carrying(
        json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    )
    if document is not None:
        assert json.loads(document["response"].pop("body").text) == whole["response"].pop("body")
        assert document == whole


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b'"body":"',
        b'{"body":"top level","response":{}}',
        b'{"response":"text","body":"x"}',
        b'{"response":{"x\\"body":"another key","body":["list"]}}',
        b'{"response":{"body":"twice","body":"the last one counts"}}',
        b'{"response":{"body":"raw \n line"}}',
        b'{"response":{"body":"no such \\x escape"}}',
        b'{"response":{"body":"not UTF-8 \xff"}}',
        b'{"response":{"body":"lone \\ud800 surrogate"}}',
        b'{"response":{"body":"cut',
        b'{"response":{"body":"x"}} and more',
        b'{"response":{"body":"' + b'a",' * (QUOTES_TRIED + 1) + b'"}}',
        b'{"response":{"body":"x"},"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_anything_else_is_left_to_others(data):
    assert read_carrying(data) is None


def test_an_object_is_written_with_its_text_as_it_stood():
    text = b'"\\u0061 \\/ text"'
    written = dump_carrying({"id": 1, "body": RawJson(text), "credits": 2})
    assert text in written
    assert json.loads(written) == {"id": 1, "body": "a / text", "credits": 2}


@pytest.mark.parametrize("document", [{"a": 1}, {"body": "text", "a": 1}, {"body": {"an": "object"}}])
def test_any_other_object_is_written_as_ever(document):
    assert dump_carrying(document) == dump_json(document)
