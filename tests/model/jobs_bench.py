"""The jobs of the model: the product's parts, and claim, act, decide and apply as moves of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from redis import Redis

from longhaul.jobs.decider import Decision, Finish, JobDecider
from longhaul.jobs.job import COUNTED, Job, JobStep
from longhaul.jobs.pushes import JobPushes
from longhaul.jobs.remote import JobRemote
from longhaul.jobs.store import SPACE, JobStore
from longhaul.ledger.due import StoredResult
from longhaul.ledger.results import stream
from longhaul.scraperapi.models import Json
from longhaul.work.batch import Applied, ClaimedBatch
from longhaul.work.callbacks import Callbacks
from longhaul.work.decisions import Expire, Fail, Pause, ends_pause
from longhaul.work.durable_write import write_decisions
from longhaul.work.item import lane
from tests.builders import HOUR, START, Clock, default_policies, job_limits
from tests.model.job_ledger import BATCH, FULL, LEASE, Entry, Jobs
from tests.model.scraping import Luck, Scraping
from tests.model.sight import see

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
    """A worker with a batch in its hands. `turns`: of each job when it was claimed. `seen`: what the remote answered,
    once it was asked.
    """

    step: JobStep
    account: str
    token: str
    claimed: ClaimedBatch[Job]
    turns: dict[str, int]
    seen: list[tuple[Job, Any]] | None = None


@dataclass
class Ticket:
    """A batch that the dispatcher has started and nobody has begun yet."""

    step: JobStep
    account: str
    token: str


@dataclass
class Parts:
    """The product's parts, on a clock and a remote of the machine's."""

    redis: Redis
    clock: Clock = field(default_factory=Clock)
    scraping: Scraping = field(default_factory=Scraping)

    def __post_init__(self) -> None:
        limits = job_limits(lease=LEASE, batch_size=BATCH, max_batches=MOST_BATCHES, high_entries=FULL)
        self.store = JobStore(
            self.redis, limits, lambda id_, document: StoredResult(f"note-{id_}", document["status"], 3600), self.clock
        )
        self.remote = JobRemote("https://remote.test", dict.fromkeys(ACCOUNTS, "key"), self.scraping, self._callback)
        self.decider = JobDecider(default_policies(attempts=3))
        self.pushes = JobPushes(self.store, self.decider, lambda _: None)

    def _callback(self, receiver: str, id_: str) -> str:
        return CALLBACKS.url(receiver, "job", id_)


class JobsBench(RuleBasedStateMachine):
    """The parts, whoever is at work, and the moves that the rules are made of. `redis` is emptied at the beginning."""

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

    def lanes(self) -> list[tuple[JobStep, str]]:
        """Lanes with due work first in line; all, where there is none."""
        every = [(step, account) for account in ACCOUNTS for step in JobStep]
        return [one for one in every if self.jobs.due(lane(*one), self.clock.now)] or every

    def under_way(self, step: JobStep) -> list[str]:
        """Tokens that count, by the ledger's time."""
        keys = [f"{SPACE}:{kind}:{step}" for kind in ("started", "working")]
        return [str(token) for key in keys for token in self.redis.zrangebyscore(key, f"({self.clock.now:.3f}", "+inf")]

    def stop(self, entry: Entry) -> None:
        became, account = self.store.cancel(entry.id)
        if entry.forgotten:
            assert became == "missing"
        else:
            assert (became, account) == (entry.mark(self.clock.now), "" if entry.ended else entry.account)

    def take(self, step: JobStep, account: str, token: str) -> Hand | None:
        now, name = self.clock.now, lane(step, account)
        pause = self.jobs.pauses.get(name)
        paused = pause is not None and pause.until is not None and now < pause.until
        probing = pause is not None and pause.until is not None and not paused
        full = {queue for queue in QUEUES if self.redis.xlen(stream(queue)) >= FULL}
        claimed = self.store.claim(step, account, token)
        ids, unread = [job.id for job in claimed.items], [one.id for one in claimed.unread]
        assert (claimed.now, claimed.probe) == (now, probing)
        if paused:
            self.walked(step, account, ids + unread)
        else:
            expected = self.jobs.claim(step, account, now, full)
            spoilt = [id_ for id_ in expected if self.entries[id_].spoilt and step is not JobStep.CANCEL]
            assert (ids, unread) == ([id_ for id_ in expected if id_ not in spoilt], spoilt)
            assert claimed.more == (not probing and bool(self.jobs.due(name, now)))
        for job in claimed.items:
            entry = self.entries[job.id]
            assert (job.account, job.state, job.cancelled, job.remote_id or "") == (
                account,
                entry.state,
                entry.cancelled,
                entry.remote,
            )
            assert (job.request.url, job.meta, job.pauses) == (entry.url, {"id": job.id}, pause.count if pause else 0)
            assert job.request.headers == ({"A": "b"} if entry.headers and step is JobStep.SEND else {})
        aside = self.store.count_crashes(step, account, claimed.unread)
        assert [one.id for one in aside] == [
            id_ for id_ in unread if self.entries[id_].count_crashes(step, COUNTED[step], now)
        ]
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

    def walked(self, step: JobStep, account: str, ids: list[str]) -> None:
        """A paused lane lets go of what has reached its deadline and of what was cancelled, as far as it was walked
        through.
        """
        places = see(self.redis, SPACE, ()).places
        for entry in self.jobs.due(lane(step, account), self.clock.now):
            if entry.id in ids:
                assert self.clock.now >= entry.created + self.store.limits.deadline
                entry.take(step, self.clock.now)
            elif step is not JobStep.CANCEL and lane(JobStep.CANCEL, account) in places[entry.id]:
                assert entry.cancelled
                entry.place(lane(JobStep.CANCEL, account), self.clock.now)
        assert all(self.entries[id_].lease == self.clock.now + LEASE for id_ in ids)

    def ask(self, hand: Hand, luck: list[Luck]) -> None:
        self.scraping.luck = list(luck)
        answers = self.parts.remote.act(hand.step, hand.claimed.items, self.store.limits.deadline, hand.claimed.now)
        hand.seen = [one for group in answers for one in group]
        assert sorted(job.id for job, _ in hand.seen) == sorted(job.id for job in hand.claimed.items)

    def finish(self, hand: Hand) -> None:
        """Decide and write; whoever comes too late changes nothing, and whoever is in time is not refused."""
        self.hands.remove(hand)
        now, decide = self.clock.now, self.parts.decider.decide
        decided = [(job, decide(hand.step, job, seen, now)) for job, seen in hand.seen or []]
        before = {job.id: self.redis.hgetall(f"{SPACE}:record:{job.id}") for job, _ in decided}
        late = {job.id: self.is_late(hand, job) for job, _ in decided}
        for applied in self.store.apply(hand.step, decided, now):
            id_ = applied.item.id
            entry = self.entries[id_]
            if late[id_]:
                assert applied.written == ("missing" if entry.forgotten else "ended" if entry.ended else "stale")
                assert self.redis.hgetall(f"{SPACE}:record:{id_}") == before[id_]
                self.rewrite(hand.step, applied, now)
            else:
                assert applied.written == (
                    "finished" if isinstance(applied.decision, Finish | Fail | Expire) or applied.document else "moved"
                )
                entry.write(hand.step, applied.decision, now)
        self.pause(hand, decided)
        if hand.token:
            self.store.leave(hand.step, hand.token)

    def is_late(self, hand: Hand, job: Job) -> bool:
        entry = self.entries[job.id]
        return entry.ended or entry.turn != hand.turns[job.id]

    def rewrite(self, step: JobStep, applied: Applied[Job, Decision], now: float) -> None:
        """A result in hand ends its job all the same, a failure only where it is told of the present submission."""
        entry = self.entries[applied.item.id]
        (last,) = write_decisions(self.store, step, [(applied.item, applied.decision)], now)
        present = (applied.item.remote_id or "") == entry.remote
        is_result = isinstance(applied.decision, Finish) or (isinstance(applied.decision, Fail) and present)
        assert (last.written == "finished") == (is_result and not entry.ended and not entry.spoilt)
        if last.written == "finished":
            entry.write(step, applied.decision, now)

    def pause(self, hand: Hand, decided: list[tuple[Job, Decision]]) -> None:
        name = lane(hand.step, hand.account)
        pauses = [(decision.until, job.pauses) for job, decision in decided if isinstance(decision, Pause)]
        if pauses:
            self.jobs.pause(hand.step, hand.account, *max(pauses, key=lambda one: one[0]))
        elif hand.claimed.probe and any(ends_pause(seen) for _, seen in hand.seen or []):
            self.store.resume(hand.step, hand.account)
            if name in self.jobs.pauses:
                self.jobs.pauses[name].until = None

    def put_right(self, entry: Entry) -> None:
        self.redis.hset(f"{SPACE}:record:{entry.id}", "resubmit", entry.resubmit)
        entry.spoilt = False

    def send_again(self, entry: Entry) -> None:
        (became,) = self.store.quarantine.retry([entry.id])
        assert became == ("missing" if entry.forgotten else entry.retry(self.clock.now))

    def elapse(self, seconds: float) -> None:
        """Time passes, or the clock is set back."""
        # The ledger's times have three decimals.
        self.clock.now = round(self.clock.now + seconds, 3)
        self.latest = max(self.latest, self.clock.now)
