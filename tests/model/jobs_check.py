"""What the ledger has to hold after each rule, whatever came before it."""

from __future__ import annotations

from hypothesis.stateful import invariant

from longhaul.jobs.store import OPTIONS, SPACE, TARGET
from longhaul.ledger.quarantine import PREFIX
from longhaul.work.balance import balance
from longhaul.work.item import ENDS, State
from tests.model.job_ledger import Entry, explained
from tests.model.jobs_bench import QUEUES, STRANGER, JobsBench
from tests.model.sight import Sight, see


class JobsCheck(JobsBench):
    """What holds after each rule."""

    @invariant()
    def everything_adds_up(self) -> None:
        self.the_ledger_holds_what_it_should()
        self.the_books_balance()

    def the_ledger_holds_what_it_should(self) -> None:
        sight = see(self.redis, SPACE, (TARGET, OPTIONS))
        kept = [entry for entry in self.entries.values() if not entry.forgotten]
        assert set(sight.records) == {entry.id for entry in kept}
        assert set(sight.places) == {entry.id for entry in kept if not entry.ended}
        for entry in kept:
            self.check(entry, sight)
        beside = {(TARGET, entry.id) for entry in self.jobs.open()} | {
            (OPTIONS, one.id) for one in self.jobs.open() if one.headers
        }
        assert sight.beside == {f"{name}:{id_}" for name, id_ in beside}
        self.check_envelopes(sight)
        strange = {
            key
            for key in sight.rest
            if key.partition(":")[0] not in {"books", "lanes", "serial", "ticked", "pause", "started", "working"}
        }
        assert strange == {f"note-{entry.id}" for entry in self.entries.values() if entry.ended and entry.tracked}

    def check(self, entry: Entry, sight: Sight) -> None:
        record = sight.records[entry.id]
        assert (record["state"], "cancel" in record, "ended" in record) == (entry.state, entry.cancelled, entry.ended)
        assert record.get("remote", "") == entry.remote
        times = {name: float(record[name]) if record.get(name) else None for name in ("sent", "polled")}
        assert times == {"sent": entry.sent, "polled": entry.polled}
        assert {name: int(record.get(name, 0)) for name in entry.counts} == entry.counts
        if entry.ended:
            assert "lease" not in record
            assert 0 < sight.lives[entry.id] <= self.store.limits.keep_ended * 1000
            return
        assert sight.lives[entry.id] == -1
        assert (record["lane"], record.get("origin", "")) == (entry.lane, entry.origin)
        assert bool(entry.origin) == entry.lane.startswith(PREFIX)
        assert list(sight.places[entry.id]) == [entry.lane]
        assert abs(sight.places[entry.id][entry.lane] - entry.due) < 0.002
        assert (float(record["lease"]) if "lease" in record else None) == (
            None if entry.lease is None else round(entry.lease, 3)
        )

    def check_envelopes(self, sight: Sight) -> None:
        for queue, told in sight.envelopes.items():
            sight.envelopes[queue] = [one for one in told if one["id"] != STRANGER]
        told = [*self.read, *(one for queue in QUEUES for one in sight.envelopes.get(queue, []))]
        assert sorted(one["id"] for one in told) == sorted(entry.id for entry in self.entries.values() if entry.ended)
        for envelope in told:
            entry = self.entries[envelope["id"]]
            assert envelope["status"] == entry.state
            assert envelope["submissions"] >= 0
            assert explained(entry, envelope, self.latest, self.scraping.blamed, self.scraping.lost)
            if entry.tracked:
                assert self.redis.get(f"note-{entry.id}") == entry.state
        for queue in QUEUES:
            assert all(self.entries[one["id"]].queue == queue for one in sight.envelopes.get(queue, []))

    def the_books_balance(self) -> None:
        books = self.store.books()
        found = balance(books)
        states = [entry.state for entry in self.entries.values()]
        assert found.faults == []
        assert found.states == {state: states.count(state) for state in State}
        assert (found.submitted, found.envelopes) == (len(states), sum(state in ENDS for state in states))
        paused = {one.name: one.paused_until for one in books.lanes if one.paused_until is not None}
        for name in {one.name for one in books.lanes}:
            until = self.jobs.pauses.get(name)
            expected = until.until if until else None
            assert (paused.get(name) is None) == (expected is None)
            assert expected is None or abs(paused[name] - expected) < 0.002
