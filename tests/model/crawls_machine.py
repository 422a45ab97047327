"""Any interleaving of what can happen to crawls: callers, workers that are late or die, events in any order and again,
and the clock.

Smaller than the machine of jobs, which tests the scripts that both share: this one knows which worker has claimed a
crawl, which pages there are, and what the results queue may have.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.store import SPACE
from longhaul.ledger.quarantine import PREFIX, Crash
from longhaul.ledger.results import stream
from longhaul.scraperapi.crawl_models import CrawlRequest, PageEvent
from longhaul.scraperapi.crawl_protocol import read_event
from longhaul.work.item import ENDS, lane
from tests.model.crawling import PAGES
from tests.model.crawls_bench import ACCOUNT, IDS, LEASE, LUCK, MOST_WORKERS, ROUNDS, STEPS, WHICH, Entry
from tests.model.crawls_check import CrawlsCheck
from tests.model.scraping import Luck
from tests.model.snapshot import pick, see


class CrawlsMachine(CrawlsCheck):
    """What can happen to crawls."""

    @initialize(recurring=st.booleans(), ahead=st.integers(0, 2))
    def begin(self, recurring: bool, ahead: int) -> None:
        self.order("one", recurring)
        for _ in range(ahead):
            self.work_once(0, Luck.GOOD, "apply")

    @precondition(lambda self: len(self.entries) < len(IDS))
    @rule(id_=st.sampled_from(IDS), recurring=st.booleans())
    def order(self, id_: str, recurring: bool) -> None:
        request = CrawlRequest(
            f"https://{id_}.test/", max_depth=1, interval="daily" if recurring else "", name=id_ if recurring else ""
        )
        fresh = self.store.order(id_, NewCrawl(request, "http://receiver.test", {"id": id_}, "results", ACCOUNT))
        assert fresh == (id_ not in self.entries)
        if fresh:
            self.entries[id_] = Entry(id_, recurring, self.clock.now)
            self.remember(id_)

    @precondition(lambda self: not any(entry.cancelled for entry in self.entries.values()))
    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        self.stop(pick(which, self.entries.values()))

    @precondition(lambda self: self.redis.xlen(stream("results")))
    @rule()
    def read_results(self) -> None:
        self.read += see(self.redis, SPACE, ()).envelopes.get("results", [])
        self.redis.delete(stream("results"))

    @precondition(lambda self: len(self.workers) < MOST_WORKERS)
    @rule(step=st.sampled_from(CrawlStep))
    def claim(self, step: CrawlStep) -> None:
        self.take(step)

    @precondition(lambda self: self.open())
    @rule(
        which=WHICH,
        luck=LUCK,
        then=st.sampled_from(["apply", "apply", "keep", "keep", "die"]),
        steps=st.sampled_from([0, 0, 1, PAGES, PAGES + 1, PAGES + 2]),
    )
    def work(self, which: int, luck: Luck, then: str, steps: int) -> None:
        """What is due next, as soon as it is; the remote crawls so many `steps` meanwhile."""
        for site in self.crawling.running():
            for _ in range(steps):
                self.advance_site(site)
        self.work_once(which, luck, then)

    def work_once(self, which: int, luck: Luck, then: str) -> None:
        places = see(self.redis, SPACE, ()).places
        queue = sorted(
            (due, name) for place in places.values() for name, due in place.items() if not name.startswith(PREFIX)
        )
        if not queue:
            return
        due, name = pick(which, queue)
        self.clock.now = max(self.clock.now, due)
        worker = self.take(CrawlStep(name.partition(":")[0]))
        if worker is None:
            return
        self.ask(worker, luck)
        if then == "apply":
            self.finish(worker)
        elif then == "die" or len(self.workers) > MOST_WORKERS:
            self.workers.remove(worker)

    @precondition(lambda self: self.workers)
    @rule(which=WHICH, luck=LUCK)
    def apply(self, which: int, luck: Luck) -> None:
        worker = pick(which, self.workers)
        self.ask(worker, luck)
        self.finish(worker)

    @precondition(lambda self: self.workers)
    @rule(which=WHICH, luck=LUCK)
    def overtake(self, which: int, luck: Luck) -> None:
        """A worker is slower than its lease: another one claims the same work, and then the slow one writes."""
        slow = pick(which, self.workers)
        self.ask(slow, Luck.GOOD)
        self.clock.now = max(self.clock.now, slow.now + LEASE)
        quick = self.take(slow.step)
        if quick:
            self.ask(quick, luck)
            self.finish(quick)
        self.finish(slow)

    @precondition(lambda self: any(not entry.remote and not entry.cancelled for entry in self.open()))
    @rule(which=WHICH, then=st.sampled_from(["", "cancelled", "ended"]))
    def create_twice(self, which: int, then: str) -> None:
        """The answer to a creation is lost; while the crawl is created once more, the first one sends an event."""
        entry = pick(which, [entry for entry in self.open() if not entry.remote and not entry.cancelled])
        self.clock.now = max(self.clock.now, entry.lease)
        known = len(self.crawling.sites)
        first = self.take(CrawlStep.CREATE)
        if first is None:
            return
        self.ask(first, Luck.AFTER)
        entry = self.entries[first.crawl.id]
        self.workers.remove(first)
        self.clock.now += LEASE
        second = None if then == "ended" else self.take(CrawlStep.CREATE)
        if second:
            self.ask(second, Luck.GOOD)
        if then:
            self.stop(entry)
        if then == "ended" and (stopping := self.take(CrawlStep.CANCEL)):
            self.ask(stopping, Luck.GOOD)
            self.finish(stopping)
        for site in list(self.crawling.sites.values())[known : known + 1]:
            self.advance_site(site)
            self.deliver(*self.crawling.events[-1])
        if second:
            self.finish(second)

    @precondition(lambda self: self.workers)
    @rule(which=WHICH, cancelled=st.booleans())
    def die(self, which: int, cancelled: bool) -> None:
        worker = pick(which, self.workers)
        if cancelled:
            self.stop(self.entries[worker.crawl.id])
        self.workers.remove(worker)

    @precondition(lambda self: self.workers)
    @rule(which=WHICH)
    def count_crashes(self, which: int) -> None:
        worker = pick(which, self.workers)
        self.workers.remove(worker)
        entry = self.entries[worker.crawl.id]
        late = entry.state in ENDS or entry.turn != worker.turn
        before = self.redis.hgetall(f"{SPACE}:record:{entry.id}")
        stop = lane(CrawlStep.CANCEL, ACCOUNT)
        self.store.quarantine.count_crashes(
            lane(worker.step, ACCOUNT), stop, [Crash(entry.id, worker.crawl.fence, "working on it")]
        )
        if late:
            assert self.redis.hgetall(f"{SPACE}:record:{entry.id}") == before
        else:
            entry.release()

    @precondition(lambda self: self.store.quarantine.count())
    @rule()
    def retry(self) -> None:
        for id_ in self.store.quarantine.ids():
            assert self.store.quarantine.retry([id_]) != ["not in quarantine"]
            self.entries[id_].release()

    @precondition(lambda self: self.crawling.running())
    @rule(which=WHICH, count=st.integers(1, PAGES + 2))
    def advance(self, which: int, count: int) -> None:
        site = pick(which, self.crawling.running())
        for _ in range(count):
            self.advance_site(site)

    @precondition(lambda self: self.crawling.running())
    @rule(which=WHICH, count=st.integers(1, PAGES + 2), backwards=st.booleans())
    def arrive(self, which: int, count: int, backwards: bool) -> None:
        """The remote crawls on, and its events arrive at once, or the last first."""
        site, known = pick(which, self.crawling.running()), len(self.crawling.events)
        for _ in range(count):
            self.advance_site(site)
        events = self.crawling.events[known:]
        for address, document in events[::-1] if backwards else events:
            self.deliver(address, document)

    @precondition(
        lambda self: self.crawling.running() and all(site.state != "lost" for site in self.crawling.sites.values())
    )
    @rule(which=WHICH)
    def lose(self, which: int) -> None:
        pick(which, self.crawling.running()).state = "lost"

    @precondition(lambda self: self.crawling.events)
    @rule(which=WHICH, count=st.integers(1, 4), old=st.booleans())
    def deliver_some(self, which: int, count: int, old: bool) -> None:
        """Events in any order, and once more; `old`: for the crawl as it was read long ago."""
        for at in range(count):
            self.deliver(*pick(which + at, self.crawling.events), old=old)

    @precondition(lambda self: len(self.crawling.events) > 1)
    @rule(backwards=st.booleans(), old=st.booleans(), all_but=st.integers(0, 2))
    def deliver_everything(self, backwards: bool, old: bool, all_but: int) -> None:
        """In the order of the remote, or the summaries first."""
        events = self.crawling.events[all_but:]
        for address, document in events[::-1] if backwards else events:
            self.deliver(address, document, old=old)

    @precondition(lambda self: len(self.crawling.events) > 1)
    @rule(which=WHICH)
    def deliver_at_once(self, which: int) -> None:
        """Pages of one crawl by one call, the same one twice among them, as the recorder writes them."""
        address, document = pick(which, self.crawling.events)
        entry = self.entries[address.rpartition("/")[2]]
        events = [
            read_event(one) for at, one in self.crawling.events if at == address and one["jobId"] == document["jobId"]
        ]
        pages = [one for one in events if isinstance(one, PageEvent) and (one.run or 1) == entry.run]
        crawl = self.store.get(entry.id)
        if not pages or crawl is None:
            return
        self.met(entry, pages[0].remote_id)
        for became in self.store.record([self.store.record_pages(crawl, *pages, pages[0])]):
            self.webhooks.settle(entry.id, became)
        self.ended_meanwhile(entry)

    @rule(seconds=st.sampled_from(STEPS))
    def pass_time(self, seconds: float) -> None:
        self.clock.now = round(self.clock.now + seconds, 3)

    def teardown(self) -> None:
        """No more faults: every event is delivered once more, and every crawl has its pages and its summary."""
        for _ in range(ROUNDS):
            if not self.open():
                break
            self.healthy_round()
        assert not self.open()
        for worker in list(self.workers):
            self.ask(worker, Luck.GOOD)
            self.finish(worker)
        for address, document in list(self.crawling.events):
            self.deliver(address, document)
        self.everything_adds_up()
        self.no_page_is_missing()
        audit = self.store.audit()
        assert (audit.faults, audit.counters, audit.quiet) == ({}, [], True)

    def healthy_round(self) -> None:
        for site in self.crawling.running():
            self.advance_site(site)
        for address, document in list(self.crawling.events):
            self.deliver(address, document)
        for entry in self.open():
            if entry.recurring and not any(site.url == f"https://{entry.id}.test/" for site in self.crawling.running()):
                self.stop(entry)
        if self.store.quarantine.count():
            self.retry()
        for step in CrawlStep:
            for _ in self.entries:
                worker = self.take(step)
                if worker is None:
                    break
                self.ask(worker, Luck.GOOD)
                self.finish(worker)
        self.pass_time(200.0)
