"""Any interleaving of what can happen to jobs: callers, workers that are late or die, the remote, its pushes, people, and the clock.

The store, its scripts, the decider, the readers of answers and a real server are the product's; the remote is `scraping.Scraping`, and
`job_ledger` says after each rule what the ledger has to hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from urllib.parse import unquote, urlsplit

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis import Redis

from jobs.balance import balance
from jobs.callback import Callbacks
from jobs.decide import Decider, Decision, Expire, Fail, Finish, Hold, ends_pause
from jobs.flow import Flow, Pushed
from jobs.intake import Submission
from jobs.job import COUNTED, ENDS, Job, State, Step, lane
from jobs.policies import Policies
from jobs.remote import Remote
from jobs.store import OPTIONS, SPACE, SUBJECT, Applied, Claimed, JobStore, Limits
from ledger.aside import PREFIX, Stumble
from ledger.due import Note
from ledger.results import stream
from scraperapi.models import Json, ScrapeRequest
from tests.builders import HOUR, START, Clock
from tests.model.job_ledger import BATCH, FULL, LEASE, Entry, Jobs, explained
from tests.model.scraping import Luck, Scraping
from tests.model.sight import Sight, see

ACCOUNTS = ("a", "b")
QUEUES = ("results", "other")
IDS = tuple(f"job/{n}" for n in range(6))
STEPS = (*(-3.0, -0.5, 0.5, 5.0, 31.0, LEASE, 700.0, HOUR) * 3, 23 * HOUR, 73 * HOUR)
CALLBACKS = Callbacks("secret")
SHAPES = st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(QUEUES), st.booleans(), st.booleans(), st.integers(0, 2))
LUCK = st.lists(st.sampled_from([*Luck, *[Luck.GOOD] * len(Luck)]), min_size=BATCH, max_size=BATCH)
WHICH = st.integers(0, 11)
MOST_BATCHES = 1
MOST_CANCELLED = 3
MOST_HANDS = 4
STRANGER = "stranger"
"""The id of envelopes that only fill a queue."""
ROUNDS = 80


@dataclass
class Hand:
    """A worker with a batch in its hands. `turns`: of each job when it was claimed. `seen`: what the remote answered, once it was asked."""

    step: Step
    account: str
    token: str
    claimed: Claimed
    turns: dict[str, int]
    seen: list[tuple[Job, Any]] | None = None


@dataclass
class Ticket:
    """A batch that the dispatcher has started and nobody has begun yet."""

    step: Step
    account: str
    token: str


def pick(which: int, among: Iterable[Any]) -> Any:
    found = list(among)
    return found[which % len(found)]


@dataclass
class Parts:
    """The product's parts, on a clock and a remote of the machine's."""

    redis: Redis
    clock: Clock = field(default_factory=Clock)
    scraping: Scraping = field(default_factory=Scraping)

    def __post_init__(self) -> None:
        limits = Limits(lease=LEASE, batch_size=BATCH, max_batches=MOST_BATCHES, high_entries=FULL)
        self.store = JobStore(self.redis, limits, lambda id_, document: Note(f"note-{id_}", document["status"], 3600), self.clock)
        self.remote = Remote("https://remote.test", dict.fromkeys(ACCOUNTS, "key"), self.scraping, self._callback)
        self.decider = Decider(Policies(attempts=3))
        self.flow = Flow(self.store, self.remote, self.decider, lambda _: None)

    def _callback(self, receiver: str, id_: str) -> str:
        return CALLBACKS.url(receiver, "job", id_)

    def decide(self, step: Step) -> Callable[[Job, Any, float], Decision]:
        return {Step.SEND: self.decider.after_send, Step.POLL: self.decider.after_look, Step.CANCEL: self.decider.after_cancel}[step]


class JobsMachine(RuleBasedStateMachine):
    """`redis` is emptied at the beginning of each run."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        redis.flushall()
        self.redis = redis
        self.parts = Parts(redis)
        self.store, self.clock, self.scraping = self.parts.store, self.parts.clock, self.parts.scraping
        self.jobs = Jobs()
        self.hands: list[Hand] = []
        self.tickets: list[Ticket] = []
        self.latest = START
        self.read: list[Json] = []

    @property
    def entries(self) -> dict[str, Entry]:
        return self.jobs.entries

    def lanes(self) -> list[tuple[Step, str]]:
        """Lanes with due work first in line; all, where there is none."""
        every = [(step, account) for account in ACCOUNTS for step in Step]
        return [one for one in every if self.jobs.due(lane(*one), self.clock.now)] or every

    # Callers

    @initialize(ids=st.lists(st.sampled_from(IDS), min_size=2, max_size=5), shape=SHAPES, sent=st.booleans())
    def begin(self, ids: list[str], shape: tuple[str, str, bool, bool, int], sent: bool) -> None:
        self.submit(ids, shape)
        if sent:
            self.work_once(0, [], "apply")

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4), shape=SHAPES)
    def submit(self, ids: list[str], shape: tuple[str, str, bool, bool, int]) -> None:
        account, queue, watched, told, resubmit = shape
        ids = [id_ for id_ in ids if id_ not in self.entries or not self.entries[id_].forgotten]
        wanted = []
        for id_ in ids:
            request = ScrapeRequest(f"https://example.com/{id_}", headers={"A": "b"} if told else {})
            wanted.append((id_, Submission(request, {"id": id_}, queue, account, resubmit, "http://receiver.test" if told else "")))
        fresh = [id_ for id_ in dict.fromkeys(ids) if id_ not in self.entries]
        assert self.store.submit(wanted, watched=watched) == len(fresh)
        for id_ in fresh:
            entry = Entry(id_, account, queue, self.clock.now, resubmit, watched, callback=told, headers=told)
            entry.place(lane(Step.SEND, account), self.clock.now)
            self.entries[id_] = entry

    @precondition(lambda self: sum(entry.cancelled for entry in self.entries.values()) < MOST_CANCELLED)
    @rule(which=WHICH, held=st.booleans())
    def cancel(self, which: int, held: bool) -> None:
        in_hands = [self.entries[job.id] for hand in self.hands for job in hand.claimed.jobs] if held else []
        self.stop(pick(which, in_hands or self.entries.values()))

    def stop(self, entry: Entry) -> None:
        became, account = self.store.cancel(entry.id)
        if entry.forgotten:
            assert became == "missing"
        else:
            assert (became, account) == (entry.mark(self.clock.now), "" if entry.ended else entry.account)

    @precondition(lambda self: any(entry.ended for entry in self.entries.values()))
    @rule()
    def read_results(self) -> None:
        for queue in QUEUES:
            self.read += [one for one in see(self.redis, SPACE, ()).envelopes.get(queue, []) if one["id"] != STRANGER]
            self.redis.delete(stream(queue))

    # Workers

    @rule(step=st.sampled_from(Step))
    def dispatch(self, step: Step) -> None:
        busy = self.under_way(step)
        started = self.store.dispatch(step)
        for account, token in started:
            assert self.jobs.due(lane(step, account), self.clock.now)
            self.tickets.append(Ticket(step, account, token))
        held = self.under_way(step)
        assert len(held) == len(busy) + len(started)
        # Above the bound only one for each lane that had nothing under way, however busy the others were.
        for account, _ in started[max(0, MOST_BATCHES - len(busy)) :]:
            assert not any(token.startswith(f"{lane(step, account)}#") for token in busy)
            assert [one for one, _ in started].count(account) == 1
        for account in ACCOUNTS:
            name = lane(step, account)
            mine = [token for token in held if token.startswith(f"{name}#")]
            pause = self.jobs.pauses.get(name)
            if pause and pause.until is not None and self.clock.now < pause.until:
                assert all(one != account for one, _ in started)
            elif self.jobs.due(name, self.clock.now):
                assert mine
            # No more batches than there is work for, those counted that have started and not claimed yet.
            fresh = [one for one, _ in started].count(account)
            waiting = len([token for token in mine if self.redis.zscore(f"{SPACE}:started:{step}", token) is not None]) - fresh
            assert fresh <= max(0, ceil(len(self.jobs.due(name, self.clock.now)) / BATCH) - waiting)

    def under_way(self, step: Step) -> list[str]:
        """Tokens that count, by the ledger's time."""
        keys = [f"{SPACE}:{kind}:{step}" for kind in ("started", "working")]
        return [str(token) for key in keys for token in self.redis.zrangebyscore(key, f"({self.clock.now:.3f}", "+inf")]

    @precondition(lambda self: any(self.jobs.open()))
    @rule(
        which=WHICH,
        luck=LUCK,
        then=st.sampled_from(["apply", "apply", "keep", "keep", "die"]),
        before=st.integers(0, 2),
        state=st.sampled_from(["", "", "finished", "finished", "failed", "lost"]),
    )
    def work(self, which: int, luck: list[Luck], then: str, before: int, state: str) -> None:
        """A whole batch of what is due next, up to a point, and some `before` it that go well; perhaps the remote is done meanwhile."""
        for _ in range(before):
            self.work_once(0, [], "apply")
        for order in self.scraping.running() if state else ():
            self.scraping.end(order, state)
        self.work_once(which, luck, then)

    def work_once(self, which: int, luck: list[Luck], then: str) -> None:
        if not any(self.jobs.open()):
            return
        entry = pick(which, sorted(self.jobs.open(), key=lambda one: (one.due, one.id)))
        self.pass_time(max(0.0, entry.due - self.clock.now))
        step, _, account = entry.lane.partition(":")
        hand = self.take(Step(step), account, "") if step in set(Step) else None
        if hand is None:
            return
        self.ask(hand, luck)
        if then == "apply":
            self.finish(hand)
        elif then == "die" or len(self.hands) > MOST_HANDS:
            self.hands.remove(hand)

    @precondition(lambda self: len(self.hands) < MOST_HANDS)
    @rule(which=WHICH, ticket=st.booleans())
    def claim(self, which: int, ticket: bool) -> None:
        if ticket and self.tickets:
            taken = self.tickets.pop(which % len(self.tickets))
            self.take(taken.step, taken.account, taken.token)
        else:
            self.take(*pick(which, self.lanes()), "")

    def take(self, step: Step, account: str, token: str) -> Hand | None:
        now, name = self.clock.now, lane(step, account)
        pause = self.jobs.pauses.get(name)
        paused = pause is not None and pause.until is not None and now < pause.until
        probing = pause is not None and pause.until is not None and not paused
        full = {queue for queue in QUEUES if self.redis.xlen(stream(queue)) >= FULL}
        claimed = self.store.claim(step, account, token)
        ids, unread = [job.id for job in claimed.jobs], [one.id for one in claimed.unread]
        assert (claimed.now, claimed.probe) == (now, probing)
        if paused:
            self.walked(step, account, ids + unread)
        else:
            expected = self.jobs.claim(step, account, now, full)
            spoilt = [id_ for id_ in expected if self.entries[id_].spoilt and step is not Step.CANCEL]
            assert (ids, unread) == ([id_ for id_ in expected if id_ not in spoilt], spoilt)
            assert claimed.more == (not probing and bool(self.jobs.due(name, now)))
        for job in claimed.jobs:
            entry = self.entries[job.id]
            assert (job.account, job.state, job.cancelled, job.remote_id or "") == (account, entry.state, entry.cancelled, entry.remote)
            assert (job.request.url, job.meta, job.pauses) == (entry.url, {"id": job.id}, pause.count if pause else 0)
            assert job.request.headers == ({"A": "b"} if entry.headers and step is Step.SEND else {})
        aside = self.store.stumble(step, account, claimed.unread)
        assert [one.id for one in aside] == [id_ for id_ in unread if self.entries[id_].stumble(step, COUNTED[step], now)]
        if token:
            assert self.redis.zscore(f"{SPACE}:started:{step}", token) is None
            assert self.redis.zscore(f"{SPACE}:working:{step}", token) == round(now + LEASE, 3)
        if not ids:
            if token:
                self.store.leave(step, token)
            return None
        hand = Hand(step, account, token, claimed, {id_: self.entries[id_].turn for id_ in ids})
        self.hands.append(hand)
        return hand

    def walked(self, step: Step, account: str, ids: list[str]) -> None:
        """A paused lane lets go of what has reached its deadline and of what was cancelled, as far as it was walked through."""
        places = see(self.redis, SPACE, ()).places
        for entry in self.jobs.due(lane(step, account), self.clock.now):
            if entry.id in ids:
                assert self.clock.now >= entry.created + self.store.limits.deadline
                entry.take(step, self.clock.now)
            elif entry.cancelled and lane(Step.CANCEL, account) in places[entry.id]:
                entry.place(lane(Step.CANCEL, account), self.clock.now)
        assert all(self.entries[id_].lease == self.clock.now + LEASE for id_ in ids)

    @precondition(lambda self: any(hand.seen is None for hand in self.hands))
    @rule(which=WHICH, luck=LUCK)
    def act(self, which: int, luck: list[Luck]) -> None:
        self.ask(pick(which, [hand for hand in self.hands if hand.seen is None]), luck)

    def ask(self, hand: Hand, luck: list[Luck]) -> None:
        self.scraping.luck = list(luck)
        answers = self.parts.remote.act(hand.step, hand.claimed.jobs, self.store.limits.deadline, hand.claimed.now)
        hand.seen = [one for group in answers for one in group]
        assert sorted(job.id for job, _ in hand.seen) == sorted(job.id for job in hand.claimed.jobs)

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, luck=LUCK, twice=st.booleans())
    def apply(self, which: int, luck: list[Luck], twice: bool) -> None:
        """Perhaps `twice`: the ledger's answer to the first write was lost."""
        hand = pick(which, self.hands)
        if hand.seen is None:
            self.ask(hand, luck)
        self.finish(hand)
        if twice:
            self.hands.append(hand)
            self.finish(hand)

    @precondition(lambda self: self.hands)
    @rule(luck=st.sampled_from([Luck.REFUSED, Luck.THROTTLED]))
    def refuse_everybody(self, luck: Luck) -> None:
        """The account is in trouble, and all that are at work meet it one after the other."""
        for hand in list(self.hands):
            if hand.seen is None:
                self.ask(hand, [luck] * BATCH)
            self.finish(hand)

    @precondition(lambda self: any(self.jobs.open()))
    @rule(which=WHICH)
    def pause_over_a_deadline(self, which: int) -> None:
        """A lane is paused when a job in it reaches its deadline."""
        entry = pick(which, self.jobs.open())
        self.pass_time(max(0.0, entry.created + self.store.limits.deadline - 1 - self.clock.now))
        name = entry.lane
        if name.partition(":")[0] in set(Step) and self.jobs.due(name, self.clock.now):
            step, account = Step(name.partition(":")[0]), entry.account
            hand = self.take(step, account, "")
            if hand:
                self.ask(hand, [Luck.REFUSED] * BATCH)
                self.finish(hand)
            self.pass_time(2.0)
            self.take(step, account, "")

    @precondition(lambda self: any(entry.lane.startswith(Step.POLL) for entry in self.jobs.open()))
    @rule(which=WHICH, early=st.sampled_from([0.0, 0.5, 10.0, 600.0]))
    def fill_the_queue(self, which: int, early: float) -> None:
        """Nobody reads, and so looks wait, until the remote may soon delete what they are for."""
        entry = pick(which, [entry for entry in self.jobs.open() if entry.lane.startswith(Step.POLL)])
        for _ in range(FULL):
            self.redis.xadd(stream(entry.queue), {"envelope": json.dumps({"id": STRANGER})})
        if entry.urgent is not None:
            self.pass_time(max(0.0, entry.urgent - early - self.clock.now))
        self.take(Step.POLL, entry.account, "")

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, luck=LUCK, then=st.sampled_from(["apply", "keep"]))
    def overtake(self, which: int, luck: list[Luck], then: str) -> None:
        """A worker is slower than its lease: somebody else takes the same work, and then it comes."""
        slow = pick(which, self.hands)
        if slow.seen is None:
            self.ask(slow, [])
        self.pass_time(max(0.0, slow.claimed.now + LEASE - self.clock.now))
        quick = self.take(slow.step, slow.account, "")
        if quick and then == "apply":
            self.ask(quick, luck)
            self.finish(quick)
        self.finish(slow)

    def finish(self, hand: Hand) -> None:
        """Decide and write; whoever comes too late changes nothing, and whoever is in time is not refused."""
        self.hands.remove(hand)
        now, decide = self.clock.now, self.parts.decide(hand.step)
        decided = [(job, decide(job, seen, now)) for job, seen in hand.seen or []]
        before = {job.id: self.redis.hgetall(f"{SPACE}:record:{job.id}") for job, _ in decided}
        late = {job.id: self.is_late(hand, job) for job, _ in decided}
        for applied in self.store.apply(hand.step, decided, now):
            id_ = applied.job.id
            entry = self.entries[id_]
            if late[id_]:
                assert applied.written == ("missing" if entry.forgotten else "ended" if entry.ended else "stale")
                assert self.redis.hgetall(f"{SPACE}:record:{id_}") == before[id_]
                self.insist(hand.step, applied, now)
            else:
                assert applied.written == ("finished" if isinstance(applied.decision, Finish | Fail | Expire) or applied.document else "moved")
                entry.write(hand.step, applied.decision, now)
        self.pause(hand, decided)
        if hand.token:
            self.store.leave(hand.step, hand.token)

    def is_late(self, hand: Hand, job: Job) -> bool:
        entry = self.entries[job.id]
        return entry.ended or entry.turn != hand.turns[job.id]

    def insist(self, step: Step, applied: Applied, now: float) -> None:
        """A result in hand ends its job all the same, a failure only where it is told of the present submission."""
        entry = self.entries[applied.job.id]
        last = self.parts.flow._insist(step, applied, now)
        present = (applied.job.remote_id or "") == entry.remote
        is_result = isinstance(applied.decision, Finish) or (isinstance(applied.decision, Fail) and present)
        assert (last.written == "finished") == (is_result and not entry.ended and not entry.spoilt)
        if last.written == "finished":
            entry.write(step, applied.decision, now)

    def pause(self, hand: Hand, decided: list[tuple[Job, Decision]]) -> None:
        name = lane(hand.step, hand.account)
        holds = [(decision.until, job.pauses) for job, decision in decided if isinstance(decision, Hold)]
        if holds:
            self.jobs.hold(hand.step, hand.account, *max(holds, key=lambda one: one[0]))
        elif hand.claimed.probe and any(ends_pause(seen) for _, seen in hand.seen or []):
            self.store.resume(hand.step, hand.account)
            if name in self.jobs.pauses:
                self.jobs.pauses[name].until = None

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, seen=st.booleans(), cancelled=st.booleans())
    def die(self, which: int, seen: bool, cancelled: bool) -> None:
        """A worker is gone, before or after the remote was asked; perhaps somebody has cancelled a job in its hands meanwhile."""
        hand = pick(which, self.hands)
        if seen and hand.seen is None:
            self.ask(hand, [])
        if cancelled and hand.claimed.jobs:
            self.stop(self.entries[hand.claimed.jobs[0].id])
        self.hands.remove(hand)

    @precondition(lambda self: any(hand.claimed.jobs for hand in self.hands))
    @rule(which=WHICH, cancelled=st.booleans(), ended=st.booleans())
    def stumble(self, which: int, cancelled: bool, ended: bool) -> None:
        """A job makes its step raise, before the remote is asked or after it has answered; the rest of its batch goes on."""
        busy = [hand for hand in self.hands if hand.claimed.jobs]
        over = [hand for hand in busy if self.entries[hand.claimed.jobs[0].id].ended] if ended else []
        hand = pick(which, over or busy)
        job = hand.claimed.jobs.pop(0)
        if cancelled:
            self.stop(self.entries[job.id])
        hand.seen = hand.seen and [one for one in hand.seen if one[0] is not job]
        counted = COUNTED[hand.step] if hand.seen is None else ""
        late = self.is_late(hand, job)
        told = [Stumble(job.id, job.fence, "reading its answer", counted)]
        entry = self.entries[job.id]
        assert bool(self.store.stumble(hand.step, hand.account, told)) == (not late and entry.stumble(hand.step, counted, self.clock.now))
        # Written again, for the answer was lost: it counts once.
        assert not self.store.stumble(hand.step, hand.account, told)

    @rule(which=WHICH)
    def retry(self, which: int) -> None:
        self.send_again(pick(which, [one for one in self.jobs.open() if one.origin] or self.entries.values()))

    @precondition(lambda self: any(not entry.spoilt for entry in self.jobs.open()))
    @rule(which=WHICH)
    def spoil(self, which: int) -> None:
        """Something writes into a record what nobody can read."""
        entry = pick(which, [entry for entry in self.jobs.open() if not entry.spoilt])
        self.redis.hset(f"{SPACE}:record:{entry.id}", "resubmit", "many")
        entry.spoilt = True

    @precondition(lambda self: any(entry.spoilt for entry in self.jobs.open()))
    @rule(which=WHICH)
    def mend(self, which: int) -> None:
        self.put_right(pick(which, [entry for entry in self.jobs.open() if entry.spoilt]))

    def put_right(self, entry: Entry) -> None:
        self.redis.hset(f"{SPACE}:record:{entry.id}", "resubmit", entry.resubmit)
        entry.spoilt = False

    def send_again(self, entry: Entry) -> None:
        (became,) = self.store.aside.retry([entry.id])
        assert became == ("missing" if entry.forgotten else entry.retry(self.clock.now))

    # The remote

    @precondition(lambda self: self.scraping.running())
    @rule(which=WHICH, state=st.sampled_from(["finished", "finished", "failed", "lost", "gone"]))
    def come_to_an_end(self, which: int, state: str) -> None:
        self.scraping.end(pick(which, self.scraping.running()), state)

    @precondition(lambda self: self.scraping.pushes)
    @rule(which=WHICH)
    def push(self, which: int) -> None:
        """Any that there ever was: in time, late, or once more."""
        address, document = pick(which, self.scraping.pushes)
        _, _, id_, token = urlsplit(address).path.split("/")
        id_ = unquote(id_)
        assert CALLBACKS.admits("job", id_, token, urlsplit(address).password or "")
        entry = self.entries[id_]
        full = self.redis.xlen(stream(entry.queue)) >= FULL
        present = (entry.remote == document["id"]) if entry.remote else not entry.counts["losses"]
        wanted = not entry.ended and (document["status"] == "finished" or present)
        later = (wanted and full) or (entry.spoilt and not entry.forgotten)
        became = self.parts.flow.take_pushed(id_, document)
        assert became is (Pushed.UNKNOWN if entry.forgotten else Pushed.LATER if later else Pushed.TAKEN)
        if wanted and not later:
            entry.release()
            entry.state = State(document["status"])

    # Time

    @rule(seconds=st.sampled_from(STEPS))
    def pass_time(self, seconds: float) -> None:
        # The ledger's times have three decimals.
        self.clock.now = round(self.clock.now + seconds, 3)
        self.latest = max(self.latest, self.clock.now)

    @precondition(lambda self: any(self.jobs.open()))
    @rule(which=WHICH)
    def wait_for_what_is_due(self, which: int) -> None:
        entry = pick(which, sorted(self.jobs.open(), key=lambda one: (one.due, one.id)))
        self.pass_time(max(0.0, entry.due - self.clock.now))

    @precondition(lambda self: any(entry.ended and not entry.forgotten for entry in self.entries.values()))
    @rule(which=WHICH)
    def forget(self, which: int) -> None:
        """The server lets go of an ended record, as its life says."""
        entry = pick(which, [one for one in self.entries.values() if one.ended and not one.forgotten])
        self.redis.delete(f"{SPACE}:record:{entry.id}")
        entry.forgotten = True

    # What holds after each rule

    @invariant()
    def everything_adds_up(self) -> None:
        self.the_ledger_holds_what_it_should()
        self.the_books_balance()

    def the_ledger_holds_what_it_should(self) -> None:
        sight = see(self.redis, SPACE, (SUBJECT, OPTIONS))
        kept = [entry for entry in self.entries.values() if not entry.forgotten]
        assert set(sight.records) == {entry.id for entry in kept}
        assert set(sight.places) == {entry.id for entry in kept if not entry.ended}
        for entry in kept:
            self.check(entry, sight)
        beside = {(SUBJECT, entry.id) for entry in self.jobs.open()} | {(OPTIONS, one.id) for one in self.jobs.open() if one.headers}
        assert sight.beside == {f"{name}:{id_}" for name, id_ in beside}
        self.check_envelopes(sight)
        strange = {
            key for key in sight.rest if key.partition(":")[0] not in {"books", "lanes", "serial", "ticked", "pause", "started", "working"}
        }
        assert strange == {f"note-{entry.id}" for entry in self.entries.values() if entry.ended and entry.watched}

    def check(self, entry: Entry, sight: Sight) -> None:
        record = sight.records[entry.id]
        assert (record["state"], "cancel" in record, "ended" in record) == (entry.state, entry.cancelled, entry.ended)
        assert record.get("remote", "") == entry.remote
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
        assert (float(record["lease"]) if "lease" in record else None) == (None if entry.lease is None else round(entry.lease, 3))

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
            if entry.watched:
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

    # The end

    def teardown(self) -> None:
        """No more harm: within so many rounds everything has ended, and what was late then has nothing to say."""
        for _ in range(ROUNDS):
            if not any(self.jobs.open()):
                break
            self.healthy_round()
        assert not any(self.jobs.open())
        for hand in list(self.hands):
            self.ask(hand, [])
            self.finish(hand)
        for which in range(len(self.scraping.pushes)):
            self.push(which)
        self.everything_adds_up()
        audit = self.store.audit()
        assert (audit.faults, audit.counters, audit.quiet) == ({}, [], True)

    def healthy_round(self) -> None:
        self.read_results()
        for order in self.scraping.running():
            self.scraping.end(order, "finished")
        for entry in self.entries.values():
            if entry.spoilt and not entry.ended:
                self.put_right(entry)
            if entry.origin and not entry.ended:
                self.send_again(entry)
        for step in Step:
            self.dispatch(step)
        for ticket in self.tickets:
            hand = self.take(ticket.step, ticket.account, ticket.token)
            if hand:
                self.ask(hand, [])
                self.finish(hand)
        self.tickets.clear()
        self.pass_time(200.0)
