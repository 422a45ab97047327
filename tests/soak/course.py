"""The course of a soak, phase by phase: submit, wait, outage, wait, stop of all workers, wait, end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from longhaul.jobs.store import SPACE, JobStore
from longhaul.work.balance import balance
from tests.builders import job_limits
from tests.chaos import notebooks
from tests.chaos.leftovers import leftovers
from tests.chaos.logbook import read_logs
from tests.soak.diary import mean
from tests.soak.extent import Size
from tests.soak.findings import (
    Findings,
    Rush,
    judge_envelopes,
    judge_keys,
    judge_lateness,
    judge_memory,
    judge_order,
    judge_records,
    judge_rush,
)
from tests.soak.gauges import trend
from tests.soak.keywalk import walk
from tests.soak.patient import Answer
from tests.soak.punctuality import Lateness, order
from tests.soak.stage import QUEUE, Stage, clock, standing
from tests.soak.watch import DUE, Watch, number_of

BATCH = 10_000
"""Jobs of one `jobs.submit_batch`."""
STEP = 1000
WITHIN = 600.0
"""Longest that anything is waited for that has no time of its own."""
REST = 10.0
"""Seconds at a quiet time's end in which no further looks are expected, so that the last can come; of a short one two
fifths.
"""
UNDER_WAY = 2.0
FIELDS = {"attempts": "0", "losses": "0", "submissions": "0", "state": ""}


@dataclass
class Course:
    """One run on a stage."""

    size: Size
    stage: Stage
    watch: Watch
    findings: Findings
    ids: list[str] = field(default_factory=list)

    def go(self) -> None:
        """All of it; what was found is in `findings`."""
        with self._phase("submitting"):
            self._submit()
        began = clock()
        with self._phase("warming up"):
            self.watch.during(self.size.warm_up)
        flat = clock()
        self.findings.walks.append(walk(self.stage.redis))
        self._quiet("before the outage", 0.5)
        self._outage()
        self._quiet("after the outage", 0.25)
        self._keys()
        stopped = clock()
        self._stop_and_start()
        self._quiet("after the stop", 0.25)
        self._keys()
        self._trends(flat, stopped, clock())
        self.findings.facts["the jobs waited for"] = f"{(clock() - began) / 60:.1f} min"
        with self._phase("ending"):
            self.stage.tell("mode/finished")
            self.watch.until(
                self._ended, "every job has ended and every envelope is read", WITHIN + 2 * self.size.pause
            )
        with self._phase("looking for leftovers"):
            self._judge_end()

    def _submit(self) -> None:
        for batch, at in enumerate(range(0, self.size.jobs, BATCH)):
            numbers = range(at, min(at + BATCH, self.size.jobs))
            requests = [f"http://target.invalid/{number}" for number in numbers]
            self.stage.caller.send_task(
                "jobs.submit_batch", kwargs={"requests": requests, "queue": QUEUE}, task_id=f"soak-{batch}"
            )
            self.ids += [f"soak-{batch}.{place}" for place in range(len(numbers))]
        self.watch.number = number_of(BATCH)
        self.watch.until(lambda: self.stage.redis.zcard(DUE) == self.size.jobs, "every job is with the remote", WITHIN)

    def _quiet(self, name: str, share: float) -> None:
        """Nothing is wrong: looks must come in time."""
        with self._phase(f"quiet, {name}"):
            began, seconds = clock(), self.size.quiet * share
            rest = min(REST, 0.4 * seconds)
            lateness = self.findings.lateness[name] = Lateness()
            self.watch.lateness, self.watch.expecting = lateness, True
            self.watch.during(seconds - rest)
            self.watch.expecting = False
            self.watch.during(rest)
            lateness.close(clock())
            self.watch.lateness = None
            self.findings.looks[name] = mean(self.watch.diary.requests(began, clock()))
            self.findings.faults += judge_lateness(name, lateness)

    def _outage(self) -> None:
        half = self.size.outage / 2
        with self._phase("outage, all 503"):
            began = clock()
            self.stage.tell("mode/outage")
            self.watch.during(half)
            self.findings.looks["while all are 503"] = mean(self.watch.diary.requests(began, clock()))
        with self._phase("outage, all 429"):
            began = clock()
            self.stage.tell("mode/patience")
            self.watch.during(half / 2)
            self.stage.tell("mode/throttled")
            self.watch.during(half / 2)
        with self._phase("recovery"):
            self.stage.tell("mode/running")
            ended = clock()
            self.findings.facts["requests in the time of 429"] = (
                f"{self.watch.diary.answered(Answer.THROTTLED, began, ended):,}"
            )
            # One job at a time tries again, so it takes a while until anybody knows.
            self.watch.until(
                lambda: self.watch.diary.first(Answer.RUNNING, began) is not None, "the recovery is noticed", WITHIN
            )
            noticed = self.watch.diary.first(Answer.RUNNING, began) or clock()
            self.findings.facts["recovery noticed after"] = f"{noticed - ended:.0f} s"
            self._catch_up("the recovery", noticed)

    def _stop_and_start(self) -> None:
        half = self.size.jobs // 2
        with self._phase("stop of all workers"):
            began = clock()
            self.stage.stop("workers")
            self.findings.facts["all workers stopped within"] = f"{clock() - began:.1f} s"
            self.watch.until(lambda: self._overdue(clock()) >= half, f"{half:,} looks are overdue", WITHIN)
        with self._phase("start, and catching up"):
            dues = self.watch.dues("-inf", clock())
            self.watch.arrivals, began = [], clock()
            self.stage.start_workers()
            self.findings.facts["workers ready after"] = f"{clock() - began:.1f} s"
            self.watch.until(lambda: bool(self.watch.arrivals), "a first look", WITHIN)
            self._catch_up("the start", self.watch.arrivals[0].at)
            self.findings.facts["looks overdue at the start"] = f"{len(dues):,}"
            self.findings.order = order(dues, [heard.number for heard in self.watch.arrivals], self.size.under_way)
            self.findings.faults += judge_order(self.findings.order, half)
            self.watch.arrivals = None

    def _catch_up(self, name: str, began: float) -> None:
        self.watch.until(lambda: self._overdue(began) == 0, f"{name}: everything overdue is caught up with", WITHIN)
        ended = clock()
        # What was claimed last is on its way to the remote.
        self.watch.during(UNDER_WAY)
        rush = Rush(
            name, self.findings.looks["before the outage"], self.watch.diary.requests(began, ended), ended - began
        )
        self.findings.rushes.append(rush)
        self.findings.faults += judge_rush(rush, self.size.per_second)
        # While the overdue were caught up with, others fell due, and wait for the account's limit: only then is it
        # quiet again.
        self.watch.until(
            lambda: self._overdue(clock() - UNDER_WAY) == 0,
            f"{name}: what fell due meanwhile is caught up with, too",
            WITHIN,
        )

    def _keys(self) -> None:
        self.findings.walks[1:] = [walk(self.stage.redis)]
        self.findings.faults += judge_keys(*self.findings.walks)

    def _trends(self, began: float, stopped: float, ended: float) -> None:
        """The workers until they were stopped, the others until now."""
        for name in self.watch.gauges.samples:
            samples = self.watch.gauges.between(name, began, stopped if name.startswith("worker") else ended)
            self.findings.trends.append(trend(name, samples))
        self.findings.faults += judge_memory(self.findings.trends)

    def _overdue(self, since: float) -> int:
        """Looks that have been due since then or longer. What is claimed is not due."""
        return int(self.stage.redis.zcount(DUE, "-inf", since))

    def _ended(self) -> bool:
        books = balance(self._store.books())
        return books.envelopes == self.size.jobs and not self.stage.redis.xlen(f"longhaul:results:{QUEUE}")

    @property
    def _store(self) -> JobStore:
        return JobStore(self.stage.redis, job_limits())

    def _judge_end(self) -> None:
        redis, found = self.stage.redis, self.findings
        self.stage.stop("beat")
        self.watch.until(
            lambda: not redis.hlen("unacked") and not any(redis.scan_iter(f"{SPACE}:working:*", STEP)), "idle", WITHIN
        )
        self.stage.stop("workers")
        self.stage.stop("others")
        audit = self._store.audit()
        found.faults += (
            balance(self._store.books()).faults
            + audit.counters
            + [f"{id_}: {words}" for id_, words in audit.faults.items()]
        )
        found.fields = self._fields()
        found.submitted = self.watch.diary.submitted
        found.faults += judge_records(found.fields, self.size.jobs, found.submitted)
        notes = notebooks.read(self.stage.notes)
        found.envelopes = sum(map(len, notes.jobs.values()))
        found.faults += judge_envelopes(notes.jobs, self.ids)
        found.faults += leftovers(redis)
        logbook = read_logs(self.stage.folder / "logs")
        found.faults += [f"logged {count} times: {words}" for words, count in logbook.faults.items()]

    def _fields(self) -> dict[str, Counter[str]]:
        fields: dict[str, Counter[str]] = {name: Counter() for name in FIELDS}
        ids = iter(self.ids)
        while portion := list(islice(ids, STEP)):
            pipe = self.stage.redis.pipeline(transaction=False)
            for id_ in portion:
                pipe.hmget(f"{SPACE}:record:{id_}", *FIELDS)
            for values in pipe.execute():
                for (name, absent), value in zip(FIELDS.items(), values, strict=True):
                    fields[name][value or absent] += 1
        return fields

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        self.watch.phase = name
        sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {name}\n")
        yield
        self.findings.phases.append((name, time.monotonic() - began))


def go(size: Size, folder: Path, say: Callable[[str], object] = sys.stderr.write) -> Findings:
    """A run with its files in `folder`, which must be new."""
    findings = Findings(size.jobs, size.per_second)
    began = time.monotonic()
    with standing(folder, size.settings) as stage:
        Course(size, stage, Watch(stage, say), findings).go()
    findings.facts["all of it took"] = f"{(time.monotonic() - began) / 60:.1f} min"
    return findings
