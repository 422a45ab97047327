"""What the ledger should hold of jobs, told once more in plain Python: each verb of the store as the documents promise
it.

Nothing here reads Redis. The machine does the same to both and compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from longhaul.jobs.decider import Decision, Resend
from longhaul.jobs.envelope import end_state
from longhaul.jobs.job import COUNTED, JobStep
from longhaul.ledger.quarantine import PAUSE, PREFIX, TRIES
from longhaul.work.decisions import Pause, Retry, Sent, Snooze
from longhaul.work.item import ENDS, State, lane
from tests.builders import HOUR

LEASE = 120.0
DEADLINE = 72 * HOUR
BATCH = 2
FULL = 2
PUT_OFF, GUARANTEED, HEADROOM = 30.0, 24 * HOUR, 2 * HOUR


@dataclass
class Entry:
    """One job. `turn` grows whenever whoever holds it has lost it: at each claim, write, crash and retry."""

    id: str
    account: str
    queue: str
    created: float
    resubmit: int = 1
    tracked: bool = False
    callback: bool = False
    headers: bool = False
    state: State = State.QUEUED
    lane: str = ""
    due: float = 0.0
    turn: int = 0
    lease: float | None = None
    cancelled: bool = False
    remote: str = ""
    sent: float | None = None
    polled: float | None = None
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("submissions", "polls", "attempts", "losses", "crashes"), 0)
    )
    origin: str = ""
    spoilt: bool = False
    forgotten: bool = False

    @property
    def url(self) -> str:
        return f"https://example.com/{self.id}"

    @property
    def ended(self) -> bool:
        return self.state in ENDS

    def place(self, name: str, due: float) -> None:
        self.lane, self.due = name, round(due, 3)

    def release(self) -> None:
        self.turn += 1
        self.lease = None

    def take(self, step: JobStep, now: float) -> None:
        """Claimed."""
        self.turn += 1
        self.lease = self.due = round(now + LEASE, 3)
        self.count(COUNTED[step], 1)

    def count(self, name: str, by: int) -> None:
        if name:
            self.counts[name] += by

    def write(self, step: JobStep, decision: Decision, now: float) -> None:
        """What a decision makes of it, written in time."""
        self.release()
        own = lane(step, self.account)
        match decision:
            case Sent(remote_id, due):
                self.state, self.remote, self.sent = State.RUNNING, remote_id, now
                self.place(lane(JobStep.POLL, self.account), due)
            case Snooze(due, alive):
                self.place(own, due)
                self.polled = now if alive else self.polled
                self.count("submissions", -1 if step is JobStep.SEND else 0)
            case Retry(due, _):
                self.place(own, due)
                self.count("attempts", 1)
            case Resend():
                self.state, self.remote, self.sent, self.polled = State.QUEUED, "", None, None
                self.place(lane(JobStep.SEND, self.account), now)
                self.count("losses", 1)
            case Pause():
                self.place(own, self.created)
                self.count("submissions", -1 if step is JobStep.SEND else 0)
            case end:
                self.state = end_state(end)
        if self.cancelled and not self.ended and self.lane != lane(JobStep.CANCEL, self.account):
            self.place(lane(JobStep.CANCEL, self.account), now)

    def mark(self, now: float) -> str:
        """Cancelled by its caller."""
        if self.ended:
            return self.state.value
        if not self.cancelled and (self.lease or 0) <= now:
            self.place(lane(JobStep.CANCEL, self.account), now)
            self.origin, self.counts["crashes"] = "", 0
        self.cancelled = True
        return "marked"

    def count_crashes(self, step: JobStep, counted: str, now: float) -> bool:
        """It has made its step raise; whether it is set aside now."""
        self.release()
        self.count("crashes", 1)
        self.count(counted, -1)
        own, stop = lane(step, self.account), lane(JobStep.CANCEL, self.account)
        self.place(own, now + PAUSE * 2 ** (self.counts["crashes"] - 1))
        if self.cancelled and own != stop:
            self.place(stop, now)
        elif self.counts["crashes"] >= TRIES:
            self.place(PREFIX + self.account, now)
            self.origin = own
            return True
        return False

    def retry(self, now: float) -> str:
        """Sent again by a person."""
        if self.ended or not self.origin:
            return "not in quarantine"
        self.turn += 1
        self.place(self.origin, now)
        self.origin, self.counts["crashes"] = "", 0
        return self.lane

    @property
    def urgent(self) -> float | None:
        """From when on it is polled even though its results queue is full; None: not before its deadline is near."""
        seen = self.polled if self.polled is not None else self.sent
        return None if seen is None else min(self.created + DEADLINE, seen + GUARANTEED) - HEADROOM


@dataclass
class LanePause:
    """Of a lane. `until` is None once a probe has gone well."""

    until: float | None = None
    count: int = 0


@dataclass
class Jobs:
    """All jobs and pauses."""

    entries: dict[str, Entry] = field(default_factory=dict)
    pauses: dict[str, LanePause] = field(default_factory=dict)

    def due(self, name: str, now: float) -> list[Entry]:
        """What is due in a lane, oldest first."""
        return sorted(
            (one for one in self.open() if one.lane == name and one.due <= now), key=lambda one: (one.due, one.id)
        )

    def open(self) -> Iterator[Entry]:
        return (one for one in self.entries.values() if not one.ended)

    def claim(self, step: JobStep, account: str, now: float, full: set[str]) -> list[str]:
        """The ids that a claim of a lane that is not paused takes; `full`: results queues."""
        name = lane(step, account)
        pause = self.pauses.get(name, LanePause())
        limit = BATCH
        if pause.until is not None:
            pause.until, limit = now + LEASE, 1
        taken: list[str] = []
        for one in self.due(name, now):
            if len(taken) == limit:
                break
            urgent = one.urgent if one.urgent is not None else min(one.created + DEADLINE, now + GUARANTEED) - HEADROOM
            if one.cancelled and step is not JobStep.CANCEL:
                one.place(lane(JobStep.CANCEL, account), now)
            elif step is JobStep.POLL and one.queue in full and now < urgent:
                one.place(name, min(now + PUT_OFF, urgent))
            else:
                one.take(step, now)
                taken.append(one.id)
        return taken

    def pause(self, step: JobStep, account: str, until: float, seen: int) -> None:
        """A pause, told by a batch whose claim saw `seen` pauses."""
        pause = self.pauses.setdefault(lane(step, account), LanePause())
        if pause.until is None or pause.count == seen:
            pause.count, pause.until = pause.count + 1, until
        elif until > pause.until:
            pause.until = until


def explained(entry: Entry, envelope: dict, latest: float, blamed: set[str], lost: set[str]) -> bool:
    """Whether a job may have ended as its envelope says, by what the remote did, its caller asked for, and the time."""
    match entry.state:
        case State.FINISHED:
            return envelope.get("body") == f"body of {entry.url}"
        case State.CANCELLED:
            return entry.cancelled
        case State.FAILED:
            return entry.url in blamed and bool(envelope["failReason"])
        case _:
            return latest >= entry.created + DEADLINE or (
                entry.counts["losses"] >= entry.resubmit and entry.url in lost
            )
