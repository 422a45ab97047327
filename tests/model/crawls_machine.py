"""Any interleaving of what can happen to crawls: callers, workers that are late or die, events in any order and again,
and the clock.

Smaller than the machine of jobs, on whose scripts it stands: what it knows of its own is who holds a crawl, which pages
there are, and what the results queue may hold.
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
from tests.model.crawls_bench import ACCOUNT, IDS, LEASE, LUCK, MOST_HANDS, ROUNDS, STEPS, WHICH, Entry
from tests.model.crawls_check import CrawlsCheck
from tests.model.scraping import Luck
from tests.model.sight import pick, see


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

    @precondition(lambda self: len(self.hands) < MOST_HANDS)
    @rule(step=st.sampled_from(CrawlStep))
    def claim(self, step: CrawlStep) -> None:
        self.take(step)

    @precondition(lambda self: self.open())
    @rule(
        which=WHICH,
        luck=LUCK,
        then=st.sampled_from(["apply", "apply", "keep", "keep", "die"]),
        told=st.sampled_from([0, 0, 1, PAGES, PAGES + 1, PAGES + 2]),
    )
    def work(self, which: int, luck: Luck, then: str, told: int) -> None:
        """What is due next, as soon as it is; the remote tells something meanwhile."""
        for site in self.crawling.running():
            for _ in range(told):
                self.tell_of(site)
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
        hand = self.take(CrawlStep(name.partition(":")[0]))
        if hand is None:
            return
        self.ask(hand, luck)
        if then == "apply":
            self.finish(hand)
        elif then == "die" or len(self.hands) > MOST_HANDS:
            self.hands.remove(hand)

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, luck=LUCK)
    def apply(self, which: int, luck: Luck) -> None:
        hand = pick(which, self.hands)
        self.ask(hand, luck)
        self.finish(hand)

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, luck=LUCK)
    def overtake(self, which: int, luck: Luck) -> None:
        """A worker is slower than its lease: somebody else takes the same work, and then it comes."""
        slow = pick(which, self.hands)
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
        """The answer to a creation is lost; while the crawl is created once more, the first one pushes an event."""
        entry = pick(which, [entry for entry in self.open() if not entry.remote and not entry.cancelled])
        self.clock.now = max(self.clock.now, entry.lease)
        known = len(self.crawling.sites)
        first = self.take(CrawlStep.CREATE)
        if first is None:
            return
        self.ask(first, Luck.AFTER)
        entry = self.entries[first.crawl.id]
        self.hands.remove(first)
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
            self.tell_of(site)
            self.deliver(*self.crawling.events[-1])
        if second:
            self.finish(second)

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, cancelled=st.booleans())
    def die(self, which: int, cancelled: bool) -> None:
        hand = pick(which, self.hands)
        if cancelled:
            self.stop(self.entries[hand.crawl.id])
        self.hands.remove(hand)

    @precondition(lambda self: self.hands)
    @rule(which=WHICH)
    def count_crashes(self, which: int) -> None:
        hand = pick(which, self.hands)
        self.hands.remove(hand)
        entry = self.entries[hand.crawl.id]
        late = entry.state in ENDS or entry.turn != hand.turn
        before = self.redis.hgetall(f"{SPACE}:record:{entry.id}")
        stop = lane(CrawlStep.CANCEL, ACCOUNT)
        self.store.quarantine.count_crashes(
            lane(hand.step, ACCOUNT), stop, [Crash(entry.id, hand.crawl.fence, "working on it")]
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
    def tell(self, which: int, count: int) -> None:
        site = pick(which, self.crawling.running())
        for _ in range(count):
            self.tell_of(site)

    @precondition(lambda self: self.crawling.running())
    @rule(which=WHICH, count=st.integers(1, PAGES + 2), backwards=st.booleans())
    def arrive(self, which: int, count: int, backwards: bool) -> None:
        """The remote goes on, and what it tells is pushed at once, or the last first."""
        site, known = pick(which, self.crawling.running()), len(self.crawling.events)
        for _ in range(count):
            self.tell_of(site)
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
    def push(self, which: int, count: int, old: bool) -> None:
        """Events in any order, and once more; `old`: to the crawl as it was read long ago."""
        for at in range(count):
            self.deliver(*pick(which + at, self.crawling.events), old=old)

    @precondition(lambda self: len(self.crawling.events) > 1)
    @rule(backwards=st.booleans(), old=st.booleans(), all_but=st.integers(0, 2))
    def push_everything(self, backwards: bool, old: bool, all_but: int) -> None:
        """In the order of the remote, or the summaries first."""
        events = self.crawling.events[all_but:]
        for address, document in events[::-1] if backwards else events:
            self.deliver(address, document, old=old)

    @precondition(lambda self: len(self.crawling.events) > 1)
    @rule(which=WHICH)
    def push_at_once(self, which: int) -> None:
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
            self.pushes.settle(entry.id, became)
        self.ended_meanwhile(entry)

    @rule(seconds=st.sampled_from(STEPS))
    def pass_time(self, seconds: float) -> None:
        self.clock.now = round(self.clock.now + seconds, 3)

    def teardown(self) -> None:
        """No more harm: everything is told once more, and every crawl has its pages and its summary."""
        for _ in range(ROUNDS):
            if not self.open():
                break
            self.healthy_round()
        assert not self.open()
        for hand in list(self.hands):
            self.ask(hand, Luck.GOOD)
            self.finish(hand)
        for address, document in list(self.crawling.events):
            self.deliver(address, document)
        self.everything_adds_up()
        self.no_page_is_missing()
        audit = self.store.audit()
        assert (audit.faults, audit.counters, audit.quiet) == ({}, [], True)

    def healthy_round(self) -> None:
        for site in self.crawling.running():
            self.tell_of(site)
        for address, document in list(self.crawling.events):
            self.deliver(address, document)
        for entry in self.open():
            if entry.recurring and not any(site.url == f"https://{entry.id}.test/" for site in self.crawling.running()):
                self.stop(entry)
        if self.store.quarantine.count():
            self.retry()
        for step in CrawlStep:
            for _ in self.entries:
                hand = self.take(step)
                if hand is None:
                    break
                self.ask(hand, Luck.GOOD)
                self.finish(hand)
        self.pass_time(200.0)
