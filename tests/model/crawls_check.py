"""What the ledger and the results queue have to hold of crawls after each rule, whatever came before it."""

from __future__ import annotations

from collections import Counter

from hypothesis.stateful import invariant

from longhaul.crawls.store import PREVIOUS, SEEN, SPACE
from longhaul.scraperapi.models import Json
from longhaul.work.balance import balance
from longhaul.work.item import ENDS, State
from tests.model.crawls_bench import CrawlsBench, Entry
from tests.model.snapshot import Snapshot, see


class CrawlsCheck(CrawlsBench):
    """What holds after each rule, and at the end."""

    @invariant()
    def everything_adds_up(self) -> None:
        snapshot = see(self.redis, SPACE, (SEEN, PREVIOUS))
        assert set(snapshot.records) == set(self.entries)
        assert set(snapshot.places) == {entry.id for entry in self.open()}
        envelopes = [*self.read, *snapshot.envelopes.get("results", [])]
        for entry in self.entries.values():
            self.check(entry, snapshot)
            self.check_envelopes(entry, [one for one in envelopes if one["crawlId"] == entry.id])
        strange = {key for key in snapshot.rest if key.partition(":")[0] not in {"books", "lanes", "pause"}}
        assert strange == {f"result-{entry.id}" for entry in self.entries.values() if entry.state in ENDS}
        self.check_books(envelopes)

    def check(self, entry: Entry, snapshot: Snapshot) -> None:
        record = snapshot.records[entry.id]
        assert (record["state"], "cancel" in record, "ended" in record) == (
            entry.state,
            entry.cancelled,
            entry.state in ENDS,
        )
        if entry.state in ENDS:
            assert "lease" not in record
            assert 0 < snapshot.lives[entry.id] <= self.store.limits.keep_ended * 1000
            for name in (SEEN, PREVIOUS):
                assert self.redis.pttl(f"{SPACE}:{name}:{entry.id}") != -1, "outlives its record"
        else:
            assert snapshot.lives[entry.id] == -1
            assert (entry.state is State.RUNNING) == bool(record.get("remote"))
            assert list(snapshot.places[entry.id]) == [record["lane"]]
            assert ("lease" in record) <= (entry.lease > 0)
            assert self.redis.pttl(f"{SPACE}:{SEEN}:{entry.id}") < 0

    def check_envelopes(self, entry: Entry, envelopes: list[Json]) -> None:
        """Each page once, one summary a run and one at the end, which says how many pages stand before it."""
        ids = [one["id"] for one in envelopes]
        assert len(set(ids)) == len(ids)
        assert {one.get("remoteId", entry.remote) for one in envelopes} <= {entry.remote}
        ends = [one for one in envelopes if one["kind"] == "crawl"]
        runs = entry.run - 1 + (entry.state in ENDS)
        assert len(ends) <= runs
        assert bool(ends) == bool(runs)
        if entry.state in ENDS:
            assert ends[-1]["status"] == entry.state
        for end in ends:
            before = envelopes[: envelopes.index(end)]
            assert end["received"] == sum(one["kind"] == "page" and one.get("run") == end.get("run") for one in before)

    def check_books(self, envelopes: list[Json]) -> None:
        books = self.store.books()
        found = balance(books)
        states = Counter(entry.state for entry in self.entries.values())
        assert found.faults == []
        assert found.states == {state: states[state] for state in State}
        assert books.counts.get("pages", 0) == sum(one["kind"] == "page" for one in envelopes)
        ends = sum(one["kind"] == "crawl" for one in envelopes)
        assert books.counts.get("runs", 0) + books.counts.get("envelopes", 0) == ends

    def no_page_is_missing(self) -> None:
        envelopes = [*self.read, *see(self.redis, SPACE, ()).envelopes.get("results", [])]
        for entry in self.entries.values():
            if entry.cancelled or entry.state is State.CANCELLED:
                continue
            sent = {
                (one["url"], one.get("run"))
                for _, one in self.crawling.events
                if one["jobId"] == entry.remote and "url" in one
            }
            assert {
                (one["url"], one.get("run"))
                for one in envelopes
                if one["kind"] == "page" and one["crawlId"] == entry.id
            } == sent
