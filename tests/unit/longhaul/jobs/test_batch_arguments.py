"""The entries of `jobs.submit_batch`: each is checked for itself, and a refusal names its place."""

import pytest

from longhaul.errors import InvalidArgument
from longhaul.jobs.arguments import read_batch, refusal
from longhaul.work.arguments import IntakeRules

RULES = IntakeRules(("default", "second"), "https://us.test/hooks", secret=True)
URL = "https://example.com/a?b=c"
SECRET = "hunter2-hunter2"


class TestBatch:
    def test_urls_and_objects_may_be_mixed_and_defaults_fill_in(self):
        batch = read_batch([URL, {"url": URL, "queue": "own"}], {"queue": "all", "meta": {"a": 1}}, RULES)
        assert [(at, one.queue, one.meta) for at, one in batch.accepted] == [(0, "all", {"a": 1}), (1, "own", {"a": 1})]
        assert batch.rejected == []

    def test_each_wrong_entry_is_told_with_its_place(self):
        batch = read_batch([URL, "nope", {"url": URL, "resubmit": 99}, 7], {}, RULES)
        assert [at for at, _ in batch.accepted] == [0]
        assert [(at, why.partition(":")[0]) for at, why in batch.rejected] == [
            (1, "url"),
            (2, "resubmit"),
            (3, "entry"),
        ]
        assert str(refusal(batch)).startswith(
            "3 of 4 entries are wrong and none was taken (partial=True takes the others): requests[1]: url: 'nope': must be"
        )

    def test_a_wrong_default_makes_every_entry_wrong(self):
        assert len(read_batch([URL, URL], {"queue": "a:b"}, RULES).rejected) == 2

    def test_a_refusal_shows_the_first_twenty(self):
        message = str(refusal(read_batch(["x"] * 25, {}, RULES)))
        assert message.endswith("and 5 more")
        assert message.count("requests[") == 20

    @pytest.mark.parametrize("requests", [None, "https://a", {"url": SECRET}, 7, {URL}])
    def test_what_is_no_list_is_refused_without_being_quoted(self, requests):
        with pytest.raises(InvalidArgument, match=r"^requests: an? .*must be a list of URLs or of objects") as error:
            read_batch(requests, {}, RULES)
        assert SECRET not in str(error.value)

    def test_an_entry_that_is_no_object_is_refused_without_being_quoted(self):
        ((_, why),) = read_batch([[URL, {"headers": SECRET}]], {}, RULES).rejected
        assert (
            why
            == "entry: a list (not shown, it may be secret): must be a URL or an object with the arguments of jobs.submit"
        )

    def test_an_empty_list_is_refused(self):
        with pytest.raises(InvalidArgument, match=r"^requests: \[\]: must have at least one entry$"):
            read_batch([], {}, RULES)

    def test_50000_entries_are_taken_and_50001_are_not(self):
        assert len(read_batch([URL] * 50_000, {}, RULES).accepted) == 50_000
        with pytest.raises(InvalidArgument, match=r"^requests: 50001 entries: at most 50000 in one batch$"):
            read_batch([URL] * 50_001, {}, RULES)

    def test_a_url_for_all_is_refused(self):
        with pytest.raises(
            InvalidArgument, match=rf"^url: '{URL.replace('?', '[?]')}': belongs into an entry of requests$"
        ):
            read_batch([{}], {"url": URL}, RULES)
