"""Any interleaving of what can happen to crawls: callers, workers that are late or die, events in any order and again, and the clock.

Smaller than the machine of jobs, on whose scripts it stands: what it knows of its own is who holds a crawl, which pages there are, and what
the results queue may hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis import Redis

from crawls.crawl import Crawl, CrawlStep
from crawls.decide import CrawlDecider, CrawlDecision, CrawlEnd, Turn
from crawls.flow import CrawlFlow, Received
from crawls.intake import Order
from crawls.remote import CrawlRemote
from crawls.store import FORMER, SEEN, SPACE, CrawlLimits, CrawlStore
from jobs.balance import balance
from jobs.decide import Hold, ends_pause
from jobs.job import ENDS, State, lane
from jobs.policies import Policies
from ledger.aside import PREFIX, Stumble
from ledger.due import Note
from ledger.results import stream
from scraperapi.crawl_models import CrawlRequest, CrawlSeen, NoEvent, Page, Progress, Summary
from scraperapi.crawl_protocol import read_event
from scraperapi.models import Json
from tests.builders import HOUR, Clock
from tests.model.crawling import PAGES, Crawling, Site
from tests.model.scraping import Luck
from tests.model.sight import Sight, see

LEASE, GRACE, WEEK = 120.0, 600.0, 168 * HOUR
IDS = ("one", "two", "three")
STEPS = (*(-2.0, 0.5, 5.0, 31.0, LEASE, GRACE, HOUR) * 4, 170 * HOUR)
WHICH = st.integers(0, 11)
LUCK = st.sampled_from([*Luck, *[Luck.GOOD] * len(Luck)])
ACCOUNT = "a"
MOST_HANDS = 3
ROUNDS = 120


@dataclass
class Entry:
    """One crawl. `turn` grows whenever whoever holds it has lost it; `lease`: until when nobody else may take it."""

    id: str
    recurring: bool
    created: float
    turn: int = 0
    lease: float = 0.0
    remote: str = ""
    run: int = 1
    cancelled: bool = False
    state: State = State.QUEUED
    summed: bool = False

    def release(self) -> None:
        self.turn += 1
        self.lease = 0.0


@dataclass
class Hand:
    """A worker with a crawl in its hands. `seen`: what the remote answered, once it was asked."""

    step: CrawlStep
    crawl: Crawl
    now: float
    probe: bool
    turn: int
    seen: list[CrawlSeen] = field(default_factory=list)


def pick(which: int, among: Iterable[Any]) -> Any:
    found = list(among)
    return found[which % len(found)]


class CrawlsMachine(RuleBasedStateMachine):
    """`redis` is emptied at the beginning of each run."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        redis.flushall()
        self.redis, self.clock, self.crawling = redis, Clock(), Crawling()
        limits = CrawlLimits(lease=LEASE, grace=GRACE, deadline=WEEK)
        self.store = CrawlStore(redis, limits, lambda id_, document: Note(f"note-{id_}", document["status"], 3600), self.clock)
        self.remote = CrawlRemote("https://remote.test", {ACCOUNT: "key"}, self.crawling.call, lambda receiver, id_: f"{receiver}/{id_}")
        self.decider = CrawlDecider(Policies(deadline=WEEK, attempts=3), GRACE)
        self.flow = CrawlFlow(self.store, self.remote, self.decider, lambda _: None)
        self.entries: dict[str, Entry] = {}
        self.hands: list[Hand] = []
        self.read: list[Json] = []
        self.former: list[Crawl] = []

    def open(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.state not in ENDS]

    # Callers

    @initialize(recurring=st.booleans(), ahead=st.integers(0, 2))
    def begin(self, recurring: bool, ahead: int) -> None:
        self.order("one", recurring)
        for _ in range(ahead):
            self.work_once(0, Luck.GOOD, "apply")

    @precondition(lambda self: len(self.entries) < len(IDS))
    @rule(id_=st.sampled_from(IDS), recurring=st.booleans())
    def order(self, id_: str, recurring: bool) -> None:
        request = CrawlRequest(f"https://{id_}.test/", max_depth=1, interval="daily" if recurring else "", name=id_ if recurring else "")
        fresh = self.store.order(id_, Order(request, "http://receiver.test", {"id": id_}, "results", ACCOUNT))
        assert fresh == (id_ not in self.entries)
        if fresh:
            self.entries[id_] = Entry(id_, recurring, self.clock.now)
            self.remember(id_)

    @precondition(lambda self: not any(entry.cancelled for entry in self.entries.values()))
    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        self.stop(pick(which, self.entries.values()))

    def stop(self, entry: Entry) -> None:
        became, _ = self.store.cancel(entry.id)
        assert became == (entry.state.value if entry.state in ENDS else "marked")
        entry.cancelled = entry.cancelled or entry.state not in ENDS

    @precondition(lambda self: self.redis.xlen(stream("results")))
    @rule()
    def read_results(self) -> None:
        self.read += see(self.redis, SPACE, ()).envelopes.get("results", [])
        self.redis.delete(stream("results"))

    # Workers

    @precondition(lambda self: len(self.hands) < MOST_HANDS)
    @rule(step=st.sampled_from(CrawlStep))
    def claim(self, step: CrawlStep) -> None:
        self.take(step)

    def take(self, step: CrawlStep) -> Hand | None:
        now, crawl, _, probe = self.store.claim(step, ACCOUNT)
        if crawl is None:
            return None
        entry = self.entries[crawl.id]
        assert now >= entry.lease, "claimed under somebody's lease"
        assert (crawl.state, crawl.remote_id or "", crawl.cancelled) == (entry.state, entry.remote, entry.cancelled)
        assert not entry.cancelled or step is CrawlStep.STOP
        entry.turn += 1
        entry.lease = now + LEASE
        hand = Hand(step, crawl, now, probe, entry.turn)
        self.hands.append(hand)
        return hand

    def ask(self, hand: Hand, luck: Luck) -> CrawlSeen:
        if not hand.seen:
            self.crawling.luck = luck
            match hand.step:
                case CrawlStep.CREATE:
                    hand.seen.append(self.remote.create(hand.crawl, WEEK, hand.now))
                case CrawlStep.WATCH:
                    hand.seen.append(self.remote.look(hand.crawl, hand.now))
                case CrawlStep.STOP:
                    hand.seen.append(self.remote.cancel(hand.crawl, hand.now))
            self.crawling.luck = Luck.GOOD
        return hand.seen[0]

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
        queue = sorted((due, name) for place in places.values() for name, due in place.items() if not name.startswith(PREFIX))
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

    def finish(self, hand: Hand) -> None:
        self.hands.remove(hand)
        now, seen, entry = self.clock.now, hand.seen[0], self.entries[hand.crawl.id]
        decision = self.decide(hand, seen, now)
        late = entry.state in ENDS or entry.turn != hand.turn
        before = self.redis.hgetall(f"{SPACE}:record:{entry.id}")
        write = self.flow._end if isinstance(decision, CrawlEnd | Turn) else self.flow._write
        written = write(hand.step, hand.crawl, decision, now).written
        if late:
            # A crawl never goes back: to be queued again, one that runs is as good as ended.
            assert written == "ended" or (written == "stale" and entry.state not in ENDS)
            assert self.redis.hgetall(f"{SPACE}:record:{entry.id}") == before
        else:
            assert written in {"moved", "finished"}
            entry.release()
        self.follow(entry)
        if hand.probe and not isinstance(decision, Hold) and (isinstance(seen, Progress) or ends_pause(seen)):
            self.store.resume(hand.step, ACCOUNT)

    def decide(self, hand: Hand, seen: Any, now: float) -> CrawlDecision:
        match hand.step:
            case CrawlStep.CREATE:
                return self.decider.after_create(hand.crawl, seen, now)
            case CrawlStep.WATCH:
                return self.decider.after_watch(hand.crawl, seen, now)
            case CrawlStep.STOP:
                return self.decider.after_stop(hand.crawl, seen, now)

    def follow(self, entry: Entry) -> None:
        """What the record says now of things that this machine does not foretell: an end, a run, and which remote it is."""
        crawl = self.store.get(entry.id)
        assert crawl is not None
        assert entry.state not in ENDS or crawl.state is entry.state, "an end that is no end"
        assert entry.remote in {"", crawl.remote_id}, "another remote"
        if crawl.run != entry.run:
            assert (entry.recurring, crawl.run > entry.run) == (True, True)
            entry.summed = False
        entry.state, entry.run, entry.remote = crawl.state, crawl.run, crawl.remote_id or ""

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, cancelled=st.booleans())
    def die(self, which: int, cancelled: bool) -> None:
        hand = pick(which, self.hands)
        if cancelled:
            self.stop(self.entries[hand.crawl.id])
        self.hands.remove(hand)

    @precondition(lambda self: self.hands)
    @rule(which=WHICH)
    def stumble(self, which: int) -> None:
        hand = pick(which, self.hands)
        self.hands.remove(hand)
        entry = self.entries[hand.crawl.id]
        late = entry.state in ENDS or entry.turn != hand.turn
        before = self.redis.hgetall(f"{SPACE}:record:{entry.id}")
        stop = lane(CrawlStep.STOP, ACCOUNT)
        self.store.aside.stumble(lane(hand.step, ACCOUNT), stop, [Stumble(entry.id, hand.crawl.fence, "working on it")])
        if late:
            assert self.redis.hgetall(f"{SPACE}:record:{entry.id}") == before
        else:
            entry.release()

    @precondition(lambda self: self.store.aside.count())
    @rule()
    def retry(self) -> None:
        for id_ in self.store.aside.ids():
            assert self.store.aside.retry([id_]) != ["not set aside"]
            self.entries[id_].release()

    # The remote

    @precondition(lambda self: self.crawling.running())
    @rule(which=WHICH, count=st.integers(1, PAGES + 2))
    def tell(self, which: int, count: int) -> None:
        site = pick(which, self.crawling.running())
        for _ in range(count):
            self.tell_of(site)

    def tell_of(self, site: Site) -> None:
        if site.state == "running":
            self.crawling.tell(site)

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

    @precondition(lambda self: self.crawling.running() and all(site.state != "lost" for site in self.crawling.sites.values()))
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
        events = [read_event(one) for at, one in self.crawling.events if at == address and one["jobId"] == document["jobId"]]
        pages = [one for one in events if isinstance(one, Page) and (one.run or 1) == entry.run]
        crawl = self.store.get(entry.id)
        if not pages or crawl is None:
            return
        self.met(entry, pages[0].remote_id)
        for became in self.store.record([self.store.taking(crawl, *pages, pages[0])]):
            self.flow.settle(entry.id, became)
        self.ended_meanwhile(entry)

    def deliver(self, address: str, document: Json, *, old: bool = False) -> None:
        event = read_event(document)
        assert not isinstance(event, NoEvent)
        entry = self.entries[address.rpartition("/")[2]]
        crawl = next(one for one in self.former if one.id == entry.id) if old else self.store.get(entry.id)
        foreign = entry.remote != event.remote_id if entry.remote else entry.state in ENDS
        dropped = not foreign and entry.state is State.CANCELLED and isinstance(event, Page)
        self.met(entry, event.remote_id)
        if isinstance(event, Summary) and not foreign:
            self.summed(entry, event)
        became = self.flow.take(crawl, event)
        assert became is (Received.FOREIGN if foreign else Received.DROPPED if dropped else Received.TAKEN)
        if became is Received.FOREIGN:
            self.remote.stop(event.remote_id, self.clock.now)
        self.ended_meanwhile(entry)

    def met(self, entry: Entry, remote_id: str) -> None:
        """The first event of a crawl whose creation was never answered makes its remote known; whoever creates it now is late."""
        if not entry.remote and entry.state not in ENDS:
            entry.remote, entry.state = remote_id, State.RUNNING
            entry.release()

    def summed(self, entry: Entry, event: Summary) -> None:
        """After the summary there is nothing to look at: whoever looks now is late."""
        lane_now = self.redis.hget(f"{SPACE}:record:{entry.id}", "lane")
        watched = lane_now == lane(CrawlStep.WATCH, ACCOUNT) or (not lane_now.startswith(("stop", PREFIX)) and not entry.cancelled)
        if not entry.summed and entry.state not in ENDS and (event.run or 1) == entry.run:
            entry.summed = True
            if watched:
                entry.release()

    def ended_meanwhile(self, entry: Entry) -> None:
        before = (entry.state, entry.run)
        self.follow(entry)
        if (entry.state, entry.run) != before:
            entry.release()

    # Time

    @rule(seconds=st.sampled_from(STEPS))
    def pass_time(self, seconds: float) -> None:
        self.clock.now = round(self.clock.now + seconds, 3)

    # What holds after each rule

    @invariant()
    def everything_adds_up(self) -> None:
        sight = see(self.redis, SPACE, (SEEN, FORMER))
        assert set(sight.records) == set(self.entries)
        assert set(sight.places) == {entry.id for entry in self.open()}
        told = [*self.read, *sight.envelopes.get("results", [])]
        for entry in self.entries.values():
            self.check(entry, sight)
            self.check_envelopes(entry, [one for one in told if one["crawlId"] == entry.id])
        strange = {key for key in sight.rest if key.partition(":")[0] not in {"books", "lanes", "pause"}}
        assert strange == {f"note-{entry.id}" for entry in self.entries.values() if entry.state in ENDS}
        self.check_books(told)

    def check(self, entry: Entry, sight: Sight) -> None:
        record = sight.records[entry.id]
        assert (record["state"], "cancel" in record, "ended" in record) == (entry.state, entry.cancelled, entry.state in ENDS)
        if entry.state in ENDS:
            assert "lease" not in record
            assert 0 < sight.lives[entry.id] <= self.store.limits.keep_ended * 1000
            for name in (SEEN, FORMER):
                assert self.redis.pttl(f"{SPACE}:{name}:{entry.id}") != -1, "outlives its record"
        else:
            assert sight.lives[entry.id] == -1
            assert list(sight.places[entry.id]) == [record["lane"]]
            assert ("lease" in record) <= (entry.lease > 0)
            assert self.redis.pttl(f"{SPACE}:{SEEN}:{entry.id}") < 0

    def check_envelopes(self, entry: Entry, told: list[Json]) -> None:
        """Each page once, one summary a run and one at the end, which says how many pages stand before it."""
        ids = [one["id"] for one in told]
        assert len(set(ids)) == len(ids)
        assert {one.get("remoteId", entry.remote) for one in told} <= {entry.remote}
        ends = [one for one in told if one["kind"] == "crawl"]
        runs = entry.run - 1 + (entry.state in ENDS)
        assert len(ends) <= runs
        assert bool(ends) == bool(runs)
        if entry.state in ENDS:
            assert ends[-1]["status"] == entry.state
        for end in ends:
            before = told[: told.index(end)]
            assert end["received"] == sum(one["kind"] == "page" and one.get("run") == end.get("run") for one in before)

    def check_books(self, told: list[Json]) -> None:
        books = self.store.books()
        found = balance(books)
        states = Counter(entry.state for entry in self.entries.values())
        assert found.faults == []
        assert found.states == {state: states[state] for state in State}
        assert books.counts.get("pages", 0) == sum(one["kind"] == "page" for one in told)
        ends = sum(one["kind"] == "crawl" for one in told)
        assert books.counts.get("runs", 0) + books.counts.get("envelopes", 0) == ends

    # The end

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
        if self.store.aside.count():
            self.retry()
        for step in CrawlStep:
            while (hand := self.take(step)) is not None:
                self.ask(hand, Luck.GOOD)
                self.finish(hand)
        self.pass_time(200.0)

    def no_page_is_missing(self) -> None:
        told = [*self.read, *see(self.redis, SPACE, ()).envelopes.get("results", [])]
        for entry in self.entries.values():
            if entry.cancelled or entry.state is State.CANCELLED:
                continue
            pushed = {(one["url"], one.get("run")) for _, one in self.crawling.events if one["jobId"] == entry.remote and "url" in one}
            assert {(one["url"], one.get("run")) for one in told if one["kind"] == "page" and one["crawlId"] == entry.id} == pushed

    def remember(self, id_: str) -> None:
        crawl = self.store.get(id_)
        assert crawl is not None
        self.former.append(crawl)
