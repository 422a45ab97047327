import re

import pytest

from workers.local.demo import CRAWLED, given


def test_without_variables_there_are_none():
    assert given({}) == given({"URL": "", "URLS": ""}) == []


def test_addresses_come_from_a_variable_and_from_a_file(tmp_path):
    file = tmp_path / "urls"
    file.write_text("# mine\nhttps://e.com/3\n\n  https://e.com/4\n")
    found = given({"URL": "https://e.com/?a=1&b=2  https://e.com/2", "URLS": str(file)})
    assert found == ["https://e.com/?a=1&b=2", "https://e.com/2", "https://e.com/3", "https://e.com/4"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"\xff\xfe", "is no text in UTF-8"), (b"# nothing\n", "has no URL in it")],
)
def test_a_file_that_is_of_no_use_is_named(tmp_path, content, words):
    file = tmp_path / "urls"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=f"URLS: {file}: {words}"):
        given({"URLS": str(file)})


@pytest.mark.parametrize(
    "name",
    ["antigravity", "this", "turtle", "unittest.__main__", "json._x", "idlelib.run", "index", "keywords", "urllibx"],
)
def test_the_crawl_keeps_off_modules_that_act(name):
    assert not re.search(CRAWLED, f"http://127.0.0.1:1/{name}.html")


@pytest.mark.parametrize("name", ["json", "email.mime.text", "http.server"])
def test_the_crawl_finds_packages_and_what_is_in_them(name):
    assert re.search(CRAWLED, f"http://127.0.0.1:1/{name}.html")
