"""The crawls of the model: the product's parts, and claim, act, decide and apply as moves of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from redis import Redis

from longhaul.crawls.crawl import Crawl, CrawlStep
from longhaul.crawls.decider import CrawlDecider
from longhaul.crawls.pushes import CrawlPushes, EventReceipt
from longhaul.crawls.remote import CrawlRemote
from longhaul.crawls.store import SPACE, CrawlStore
from longhaul.ledger.due import StoredResult
from longhaul.ledger.quarantine import PREFIX
from longhaul.scraperapi.crawl_models import CrawlSeen, NoEvent, PageEvent, SummaryEvent
from longhaul.scraperapi.crawl_protocol import read_event
from longhaul.scraperapi.models import Json
from longhaul.work.decisions import Pause, ends_pause
from longhaul.work.durable_write import write_decisions
from longhaul.work.item import ENDS, State, lane
from tests.builders import HOUR, Clock, crawl_limits, default_policies
from tests.model.crawling import Crawling, Site
from tests.model.scraping import Luck

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


class CrawlsBench(RuleBasedStateMachine):
    """The parts, whoever is at work, and the moves that the rules are made of. `redis` is emptied at the beginning."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        redis.flushall()
        self.redis, self.clock, self.crawling = redis, Clock(), Crawling()
        limits = crawl_limits(lease=LEASE, grace=GRACE, deadline=WEEK)
        self.store = CrawlStore(
            redis, limits, lambda id_, document: StoredResult(f"note-{id_}", document["status"], 3600), self.clock
        )
        self.remote = CrawlRemote(
            "https://remote.test", {ACCOUNT: "key"}, self.crawling.call, lambda receiver, id_: f"{receiver}/{id_}"
        )
        self.decider = CrawlDecider(default_policies(deadline=WEEK, attempts=3), GRACE)
        self.pushes = CrawlPushes(self.store, self.remote, self.decider, lambda _: None)
        self.entries: dict[str, Entry] = {}
        self.hands: list[Hand] = []
        self.read: list[Json] = []
        self.former: list[Crawl] = []

    def open(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.state not in ENDS]

    def remember(self, id_: str) -> None:
        crawl = self.store.get(id_)
        assert crawl is not None
        self.former.append(crawl)

    def stop(self, entry: Entry) -> None:
        became, _ = self.store.cancel(entry.id)
        assert became == (entry.state.value if entry.state in ENDS else "marked")
        entry.cancelled = entry.cancelled or entry.state not in ENDS

    def take(self, step: CrawlStep) -> Hand | None:
        claimed = self.store.claim(step, ACCOUNT)
        assert claimed.unread == []
        if not claimed.items:
            return None
        now, (crawl,), probe = claimed.now, claimed.items, claimed.probe
        entry = self.entries[crawl.id]
        assert now >= entry.lease, "claimed under somebody's lease"
        assert (crawl.state, crawl.remote_id or "", crawl.cancelled) == (entry.state, entry.remote, entry.cancelled)
        assert not entry.cancelled or step is CrawlStep.CANCEL
        entry.turn += 1
        entry.lease = now + LEASE
        hand = Hand(step, crawl, now, probe, entry.turn)
        self.hands.append(hand)
        return hand

    def ask(self, hand: Hand, luck: Luck) -> CrawlSeen:
        if not hand.seen:
            self.crawling.luck = luck
            hand.seen += [
                seen for group in self.remote.act(hand.step, [hand.crawl], WEEK, hand.now) for _, seen in group
            ]
            self.crawling.luck = Luck.GOOD
        return hand.seen[0]

    def finish(self, hand: Hand) -> None:
        self.hands.remove(hand)
        now, seen, entry = self.clock.now, hand.seen[0], self.entries[hand.crawl.id]
        decision = self.decider.decide(hand.step, hand.crawl, seen, now)
        late = entry.state in ENDS or entry.turn != hand.turn
        before = self.redis.hgetall(f"{SPACE}:record:{entry.id}")
        (applied,) = write_decisions(self.store, hand.step, [(hand.crawl, decision)], now)
        written = applied.written
        if late:
            # A crawl never goes back: to be queued again, one that runs is as good as ended.
            assert written == "ended" or (written == "stale" and entry.state not in ENDS)
            assert self.redis.hgetall(f"{SPACE}:record:{entry.id}") == before
        else:
            assert written in {"moved", "finished"}
            entry.release()
        self.follow(entry)
        if hand.probe and not isinstance(decision, Pause) and ends_pause(seen):
            self.store.resume(hand.step, ACCOUNT)

    def follow(self, entry: Entry) -> None:
        """What the record says now of things that this machine does not foretell: an end, a run, and which remote it
        is.
        """
        crawl = self.store.get(entry.id)
        assert crawl is not None
        assert entry.state not in ENDS or crawl.state is entry.state, "an end that is no end"
        assert entry.remote in {"", crawl.remote_id}, "another remote"
        if crawl.run != entry.run:
            assert (entry.recurring, crawl.run > entry.run) == (True, True)
            entry.summed = False
        entry.state, entry.run, entry.remote = crawl.state, crawl.run, crawl.remote_id or ""

    def tell_of(self, site: Site) -> None:
        if site.state == "running":
            self.crawling.tell(site)

    def deliver(self, address: str, document: Json, *, old: bool = False) -> None:
        event = read_event(document)
        assert not isinstance(event, NoEvent)
        entry = self.entries[address.rpartition("/")[2]]
        crawl = next(one for one in self.former if one.id == entry.id) if old else self.store.get(entry.id)
        foreign = entry.remote != event.remote_id if entry.remote else entry.state in ENDS
        dropped = not foreign and entry.state is State.CANCELLED and isinstance(event, PageEvent)
        self.met(entry, event.remote_id)
        if isinstance(event, SummaryEvent) and not foreign:
            self.summed(entry, event)
        became = self.pushes.take(crawl, event)
        assert became is (EventReceipt.FOREIGN if foreign else EventReceipt.DROPPED if dropped else EventReceipt.TAKEN)
        if became is EventReceipt.FOREIGN:
            self.remote.stop(event.remote_id, self.clock.now)
        self.ended_meanwhile(entry)

    def met(self, entry: Entry, remote_id: str) -> None:
        """The first event of a crawl whose creation was never answered makes its remote known; whoever creates it now
        is late.
        """
        if not entry.remote and entry.state not in ENDS:
            entry.remote, entry.state = remote_id, State.RUNNING
            entry.release()

    def summed(self, entry: Entry, event: SummaryEvent) -> None:
        """After the summary there is nothing to poll: a poll that is under way comes too late."""
        lane_now = self.redis.hget(f"{SPACE}:record:{entry.id}", "lane")
        tracked = lane_now == lane(CrawlStep.POLL, ACCOUNT) or (
            not lane_now.startswith(("stop", PREFIX)) and not entry.cancelled
        )
        if not entry.summed and entry.state not in ENDS and (event.run or 1) == entry.run:
            entry.summed = True
            if tracked:
                entry.release()

    def ended_meanwhile(self, entry: Entry) -> None:
        before = (entry.state, entry.run)
        self.follow(entry)
        if (entry.state, entry.run) != before:
            entry.release()
