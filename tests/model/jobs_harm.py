"""What goes wrong around jobs: slow workers, dead ones, accounts in trouble, full queues, corrupt records."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from longhaul.jobs.job import COUNTED, JobStep
from longhaul.jobs.store import SPACE
from longhaul.ledger.quarantine import Crash
from longhaul.ledger.results import stream
from tests.model.job_ledger import BATCH, FULL, LEASE
from tests.model.jobs_bench import LUCK, MOST_CANCELLED, STRANGER, WHICH
from tests.model.jobs_check import JobsCheck
from tests.model.scraping import Luck
from tests.model.sight import pick


class JobsHarm(JobsCheck):
    """What goes wrong."""

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, luck=LUCK, then=st.sampled_from(["apply", "keep"]))
    def overtake(self, which: int, luck: list[Luck], then: str) -> None:
        """A worker is slower than its lease: somebody else takes the same work, and then it comes."""
        slow = pick(which, self.hands)
        if slow.seen is None:
            self.ask(slow, [])
        self.elapse(max(0.0, slow.claimed.now + LEASE - self.clock.now))
        quick = self.take(slow.step, slow.account, "")
        if quick and then == "apply":
            self.ask(quick, luck)
            self.finish(quick)
        self.finish(slow)

    @rule(which=WHICH, luck=st.permutations([Luck.REFUSED, Luck.THROTTLED]))
    def refuse_everybody(self, which: int, luck: list[Luck]) -> None:
        """The account is in trouble, and all that are at work meet it one after the other."""
        one = pick(which, self.lanes())
        for _ in luck:
            self.take(*one, "")
        for at, hand in enumerate(list(self.hands)):
            if hand.seen is None:
                self.ask(hand, [luck[at % 2]] * BATCH)
            self.finish(hand)

    @precondition(
        lambda self: sum(entry.cancelled for entry in self.entries.values()) < MOST_CANCELLED and any(self.jobs.open())
    )
    @rule(
        which=WHICH,
        luck=st.lists(
            st.sampled_from([Luck.GOOD, Luck.OUTAGE, Luck.BEFORE, Luck.REFUSED]), min_size=BATCH, max_size=BATCH
        ),
    )
    def cancel_in_hands(self, which: int, luck: list[Luck]) -> None:
        """Cancelled while the remote is being asked, which then has trouble with the cancellation as well."""
        hand = self.take(*pick(which, self.lanes()), "")
        if hand is None:
            return
        entry = self.entries[hand.claimed.items[0].id]
        self.stop(entry)
        self.ask(hand, luck)
        self.finish(hand)
        again = self.take(JobStep.CANCEL, entry.account, "")
        if again:
            self.ask(again, luck[::-1])
            self.finish(again)

    @precondition(lambda self: any(self.jobs.open()))
    @rule(which=WHICH)
    def pause_over_a_deadline(self, which: int) -> None:
        """A lane is paused when a job in it reaches its deadline."""
        entry = pick(which, self.jobs.open())
        self.elapse(max(0.0, entry.created + self.store.limits.deadline - 1 - self.clock.now))
        name = entry.lane
        if name.partition(":")[0] in set(JobStep) and self.jobs.due(name, self.clock.now):
            step, account = JobStep(name.partition(":")[0]), entry.account
            hand = self.take(step, account, "")
            if hand:
                self.ask(hand, [Luck.REFUSED] * BATCH)
                self.finish(hand)
            self.elapse(2.0)
            self.take(step, account, "")

    @precondition(lambda self: any(entry.lane.startswith(JobStep.POLL) for entry in self.jobs.open()))
    @rule(which=WHICH, early=st.sampled_from([0.0, 0.5, 10.0, 600.0]))
    def fill_the_queue(self, which: int, early: float) -> None:
        """The results queue is full, so polls wait until the remote may soon delete the results."""
        entry = pick(which, [entry for entry in self.jobs.open() if entry.lane.startswith(JobStep.POLL)])
        for _ in range(FULL):
            self.redis.xadd(stream(entry.queue), {"envelope": json.dumps({"id": STRANGER})})
        if entry.urgent is not None:
            self.elapse(max(0.0, entry.urgent - early - self.clock.now))
        self.take(JobStep.POLL, entry.account, "")

    @precondition(lambda self: self.hands)
    @rule(which=WHICH, seen=st.booleans(), cancelled=st.booleans())
    def die(self, which: int, seen: bool, cancelled: bool) -> None:
        """A worker is gone, before or after the remote was asked; perhaps somebody has cancelled a job in its hands
        meanwhile.
        """
        hand = pick(which, self.hands)
        if seen and hand.seen is None:
            self.ask(hand, [])
        if cancelled and hand.claimed.items:
            self.stop(self.entries[hand.claimed.items[0].id])
        self.hands.remove(hand)

    @precondition(lambda self: any(hand.claimed.items for hand in self.hands))
    @rule(which=WHICH, cancelled=st.booleans(), ended=st.booleans())
    def count_crashes(self, which: int, cancelled: bool, ended: bool) -> None:
        """A job makes its step raise, before the remote is asked or after it has answered; the rest of its batch goes
        on.
        """
        busy = [hand for hand in self.hands if hand.claimed.items]
        over = [hand for hand in busy if self.entries[hand.claimed.items[0].id].ended] if ended else []
        hand = pick(which, over or busy)
        job = hand.claimed.items.pop(0)
        if cancelled:
            self.stop(self.entries[job.id])
        hand.seen = hand.seen and [one for one in hand.seen if one[0] is not job]
        counted = COUNTED[hand.step] if hand.seen is None else ""
        late = self.is_late(hand, job)
        told = [Crash(job.id, job.fence, "reading its answer", counted)]
        entry = self.entries[job.id]
        assert bool(self.store.count_crashes(hand.step, hand.account, told)) == (
            not late and entry.count_crashes(hand.step, counted, self.clock.now)
        )
        # Written again, for the answer was lost: it counts once.
        assert not self.store.count_crashes(hand.step, hand.account, told)

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

    @precondition(lambda self: any(entry.ended and not entry.forgotten for entry in self.entries.values()))
    @rule(which=WHICH)
    def forget(self, which: int) -> None:
        """The server lets go of an ended record, as its life says."""
        entry = pick(which, [one for one in self.entries.values() if one.ended and not one.forgotten])
        self.redis.delete(f"{SPACE}:record:{entry.id}")
        entry.forgotten = True
