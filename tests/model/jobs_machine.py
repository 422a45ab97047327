"""Any interleaving of what can happen to jobs: callers, workers that are late or die, the remote, its pushes, people,
and the clock.

The store, its scripts, the decider, the readers of answers and a real server are the product's; the remote is
`scraping.Scraping`, and `job_ledger` says after each rule what the ledger has to hold.
"""

from __future__ import annotations

from math import ceil
from urllib.parse import unquote, urlsplit

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from longhaul.jobs.arguments import NewJob
from longhaul.jobs.job import JobStep
from longhaul.jobs.pushes import PushOutcome
from longhaul.jobs.store import SPACE
from longhaul.ledger.results import stream
from longhaul.scraperapi.models import ScrapeRequest
from longhaul.work.item import State, lane
from tests.model.job_ledger import BATCH, FULL, Entry
from tests.model.jobs_bench import (
    ACCOUNTS,
    CALLBACKS,
    IDS,
    LUCK,
    MOST_BATCHES,
    MOST_CANCELLED,
    MOST_HANDS,
    QUEUES,
    ROUNDS,
    SHAPES,
    STEPS,
    STRANGER,
    WHICH,
    Ticket,
)
from tests.model.jobs_harm import JobsHarm
from tests.model.scraping import Luck
from tests.model.sight import pick, see


class JobsMachine(JobsHarm):
    """Callers, workers, the remote, the clock, and the end."""

    @initialize(ids=st.lists(st.sampled_from(IDS), min_size=2, max_size=5), shape=SHAPES, sent=st.booleans())
    def begin(self, ids: list[str], shape: tuple[str, str, bool, bool, int], sent: bool) -> None:
        self.submit(ids, shape)
        if sent:
            self.work_once(0, [], "apply")

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4), shape=SHAPES)
    def submit(self, ids: list[str], shape: tuple[str, str, bool, bool, int]) -> None:
        account, queue, tracked, told, resubmit = shape
        ids = [id_ for id_ in ids if id_ not in self.entries or not self.entries[id_].forgotten]
        wanted = []
        for id_ in ids:
            request = ScrapeRequest(f"https://example.com/{id_}", headers={"A": "b"} if told else {})
            wanted.append(
                (id_, NewJob(request, {"id": id_}, queue, account, resubmit, "http://receiver.test" if told else ""))
            )
        fresh = [id_ for id_ in dict.fromkeys(ids) if id_ not in self.entries]
        assert self.store.submit(wanted, tracked=tracked) == len(fresh)
        for id_ in fresh:
            entry = Entry(id_, account, queue, self.clock.now, resubmit, tracked, callback=told, headers=told)
            entry.place(lane(JobStep.SEND, account), self.clock.now)
            self.entries[id_] = entry

    @precondition(lambda self: sum(entry.cancelled for entry in self.entries.values()) < MOST_CANCELLED)
    @rule(which=WHICH, held=st.booleans())
    def cancel(self, which: int, held: bool) -> None:
        in_hands = [self.entries[job.id] for hand in self.hands for job in hand.claimed.items] if held else []
        self.stop(pick(which, in_hands or self.entries.values()))

    @precondition(lambda self: any(entry.ended for entry in self.entries.values()))
    @rule()
    def read_results(self) -> None:
        for queue in QUEUES:
            self.read += [one for one in see(self.redis, SPACE, ()).envelopes.get(queue, []) if one["id"] != STRANGER]
            self.redis.delete(stream(queue))

    @rule(step=st.sampled_from(JobStep))
    def dispatch(self, step: JobStep) -> None:
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
            waiting = (
                len([token for token in mine if self.redis.zscore(f"{SPACE}:started:{step}", token) is not None])
                - fresh
            )
            assert fresh <= max(0, ceil(len(self.jobs.due(name, self.clock.now)) / BATCH) - waiting)

    @precondition(lambda self: any(self.jobs.open()))
    @rule(
        which=WHICH,
        luck=LUCK,
        then=st.sampled_from(["apply", "apply", "keep", "keep", "die"]),
        before=st.integers(0, 2),
        state=st.sampled_from(["", "", "finished", "finished", "failed", "lost"]),
    )
    def work(self, which: int, luck: list[Luck], then: str, before: int, state: str) -> None:
        """A whole batch of what is due next, up to a point, and some `before` it that go well; perhaps the remote is
        done meanwhile.
        """
        for _ in range(before):
            self.work_once(0, [], "apply")
        for order in self.scraping.running() if state else ():
            self.scraping.end(order, state)
        self.work_once(which, luck, then)

    def work_once(self, which: int, luck: list[Luck], then: str) -> None:
        if not any(self.jobs.open()):
            return
        entry = pick(which, sorted(self.jobs.open(), key=lambda one: (one.due, one.id)))
        self.elapse(max(0.0, entry.due - self.clock.now))
        step, _, account = entry.lane.partition(":")
        hand = self.take(JobStep(step), account, "") if step in set(JobStep) else None
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

    @precondition(lambda self: any(hand.seen is None for hand in self.hands))
    @rule(which=WHICH, luck=LUCK)
    def act(self, which: int, luck: list[Luck]) -> None:
        self.ask(pick(which, [hand for hand in self.hands if hand.seen is None]), luck)

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
        became = self.parts.pushes.take(id_, document)
        assert became is (PushOutcome.UNKNOWN if entry.forgotten else PushOutcome.LATER if later else PushOutcome.TAKEN)
        if wanted and not later:
            entry.release()
            entry.state = State(document["status"])

    @rule(seconds=st.sampled_from(STEPS))
    def pass_time(self, seconds: float) -> None:
        self.elapse(seconds)

    @precondition(lambda self: any(self.jobs.open()))
    @rule(which=WHICH)
    def wait_for_what_is_due(self, which: int) -> None:
        entry = pick(which, sorted(self.jobs.open(), key=lambda one: (one.due, one.id)))
        self.elapse(max(0.0, entry.due - self.clock.now))

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
        for step in JobStep:
            self.dispatch(step)
        for ticket in self.tickets:
            hand = self.take(ticket.step, ticket.account, ticket.token)
            if hand:
                self.ask(hand, [])
                self.finish(hand)
        self.tickets.clear()
        self.elapse(200.0)
