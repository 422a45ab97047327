"""One soak run, phase by phase: submit, wait, outage, wait, stop all workers, wait, end."""

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
from tests.chaos.journals import read_journals
from tests.chaos.log_check import check_logs
from tests.chaos.unexpected_keys import unexpected_keys
from tests.soak.checks import (
    CatchUp,
    SoakResult,
    check_catch_up,
    check_envelopes,
    check_keys,
    check_lateness,
    check_memory,
    check_order,
    check_records,
)
from tests.soak.cluster import QUEUE, SoakCluster, clock, running
from tests.soak.key_stats import count_keys
from tests.soak.lateness import Lateness, order
from tests.soak.memory import trend
from tests.soak.monitor import DUE, Monitor, number_of
from tests.soak.request_log import mean
from tests.soak.size import SoakSize
from tests.soak.stub_remote import Answer

BATCH_JOBS = 10_000
"""Jobs of one `jobs.submit_batch`."""
PORTION = 1000
"""Records read in one round trip."""
TIMEOUT_SECONDS = 600.0
"""Of each phase that waits for something."""
DRAIN_SECONDS = 10.0
"""At the end of a quiet phase no more polls are expected, so that the last can arrive; two fifths of a short phase."""
IN_FLIGHT_SECONDS = 2.0
"""Until a claimed poll reaches the remote."""
FIELDS = {"attempts": "0", "losses": "0", "submissions": "0", "state": ""}


@dataclass
class SoakRun:
    """A run on a started cluster."""

    size: SoakSize
    cluster: SoakCluster
    monitor: Monitor
    result: SoakResult
    ids: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run all phases; what they find is in `result`."""
        with self._phase("submitting"):
            self._submit()
        began = clock()
        with self._phase("warming up"):
            self.monitor.during(self.size.warm_up)
        warm = clock()
        self.result.key_counts.append(count_keys(self.cluster.redis))
        self._quiet("before the outage", 0.5)
        self._outage()
        self._quiet("after the outage", 0.25)
        self._keys()
        stopped = clock()
        self._stop_and_start()
        self._quiet("after the stop", 0.25)
        self._keys()
        self._trends(warm, stopped, clock())
        self.result.facts["the jobs waited for"] = f"{(clock() - began) / 60:.1f} min"
        with self._phase("ending"):
            self.cluster.set_mode("finished")
            self.monitor.until(
                self._ended, "every job has ended and every envelope is read", TIMEOUT_SECONDS + 2 * self.size.pause
            )
        with self._phase("checking what is left"):
            self._check_end()

    def _submit(self) -> None:
        for batch, at in enumerate(range(0, self.size.jobs, BATCH_JOBS)):
            numbers = range(at, min(at + BATCH_JOBS, self.size.jobs))
            requests = [f"http://target.invalid/{number}" for number in numbers]
            self.cluster.client.send_task(
                "jobs.submit_batch", kwargs={"requests": requests, "queue": QUEUE}, task_id=f"soak-{batch}"
            )
            self.ids += [f"soak-{batch}.{place}" for place in range(len(numbers))]
        self.monitor.number = number_of(BATCH_JOBS)
        self.monitor.until(
            lambda: self.cluster.redis.zcard(DUE) == self.size.jobs, "every job is with the remote", TIMEOUT_SECONDS
        )

    def _quiet(self, name: str, share: float) -> None:
        """A phase without faults: polls must arrive in time."""
        with self._phase(f"quiet, {name}"):
            began, seconds = clock(), self.size.quiet * share
            drain = min(DRAIN_SECONDS, 0.4 * seconds)
            lateness = self.result.lateness[name] = Lateness()
            self.monitor.lateness, self.monitor.expecting = lateness, True
            self.monitor.during(seconds - drain)
            self.monitor.expecting = False
            self.monitor.during(drain)
            lateness.close(clock())
            self.monitor.lateness = None
            self.result.polls[name] = mean(self.monitor.requests.per_second(began, clock()))
            self.result.violations += check_lateness(name, lateness)

    def _outage(self) -> None:
        half = self.size.outage / 2
        with self._phase("outage, all 503"):
            began = clock()
            self.cluster.set_mode("outage")
            self.monitor.during(half)
            self.result.polls["while all are 503"] = mean(self.monitor.requests.per_second(began, clock()))
        with self._phase("outage, all 429"):
            began = clock()
            self.cluster.set_mode("retry_after")
            self.monitor.during(half / 2)
            self.cluster.set_mode("throttled")
            self.monitor.during(half / 2)
        with self._phase("recovery"):
            self.cluster.set_mode("running")
            ended = clock()
            self.result.facts["requests while all are 429"] = (
                f"{self.monitor.requests.answered(Answer.THROTTLED, began, ended):,}"
            )
            # Of a paused account one job at a time probes the remote, so it takes a while until a probe succeeds.
            self.monitor.until(
                lambda: self.monitor.requests.first(Answer.RUNNING, began) is not None,
                "the recovery is noticed",
                TIMEOUT_SECONDS,
            )
            noticed = self.monitor.requests.first(Answer.RUNNING, began) or clock()
            self.result.facts["recovery noticed after"] = f"{noticed - ended:.0f} s"
            self._measure_catch_up("the recovery", noticed)

    def _stop_and_start(self) -> None:
        half = self.size.jobs // 2
        with self._phase("stop of all workers"):
            began = clock()
            self.cluster.stop("workers")
            self.result.facts["all workers stopped within"] = f"{clock() - began:.1f} s"
            self.monitor.until(lambda: self._overdue(clock()) >= half, f"{half:,} polls are overdue", TIMEOUT_SECONDS)
        with self._phase("start, and catching up"):
            due_times = self.monitor.due_times("-inf", clock())
            self.monitor.arrivals, began = [], clock()
            self.cluster.start_workers()
            self.result.facts["workers ready after"] = f"{clock() - began:.1f} s"
            self.monitor.until(lambda: bool(self.monitor.arrivals), "a first poll", TIMEOUT_SECONDS)
            self._measure_catch_up("the start", self.monitor.arrivals[0].at)
            self.result.facts["polls overdue at the start"] = f"{len(due_times):,}"
            self.result.order = order(
                due_times, [request.number for request in self.monitor.arrivals], self.size.in_flight
            )
            self.result.violations += check_order(self.result.order, half)
            self.monitor.arrivals = None

    def _measure_catch_up(self, name: str, began: float) -> None:
        self.monitor.until(
            lambda: self._overdue(began) == 0, f"{name}: everything overdue is caught up with", TIMEOUT_SECONDS
        )
        ended = clock()
        # What was claimed last is still on its way to the remote.
        self.monitor.during(IN_FLIGHT_SECONDS)
        catch_up = CatchUp(
            name, self.result.polls["before the outage"], self.monitor.requests.per_second(began, ended), ended - began
        )
        self.result.catch_ups.append(catch_up)
        self.result.violations += check_catch_up(catch_up, self.size.per_second)
        # Other polls became due since and wait for the account's rate limit: the next phase is quiet only after those.
        self.monitor.until(
            lambda: self._overdue(clock() - IN_FLIGHT_SECONDS) == 0,
            f"{name}: what became due since is caught up with, too",
            TIMEOUT_SECONDS,
        )

    def _keys(self) -> None:
        self.result.key_counts[1:] = [count_keys(self.cluster.redis)]
        self.result.violations += check_keys(*self.result.key_counts)

    def _trends(self, began: float, stopped: float, ended: float) -> None:
        """Memory trends: of the workers until they were stopped, of the others until now."""
        for name in self.monitor.memory.samples:
            samples = self.monitor.memory.between(name, began, stopped if name.startswith("worker") else ended)
            self.result.trends.append(trend(name, samples))
        self.result.violations += check_memory(self.result.trends)

    def _overdue(self, since: float) -> int:
        """Polls that have been due since `since` or longer. What is claimed is not due."""
        return int(self.cluster.redis.zcount(DUE, "-inf", since))

    def _ended(self) -> bool:
        books = balance(self._store.books())
        return books.envelopes == self.size.jobs and not self.cluster.redis.xlen(f"longhaul:results:{QUEUE}")

    @property
    def _store(self) -> JobStore:
        return JobStore(self.cluster.redis, job_limits())

    def _check_end(self) -> None:
        redis, result = self.cluster.redis, self.result
        self.cluster.stop("beat")
        self.monitor.until(
            lambda: not redis.hlen("unacked") and not any(redis.scan_iter(f"{SPACE}:working:*", PORTION)),
            "idle",
            TIMEOUT_SECONDS,
        )
        self.cluster.stop("workers")
        self.cluster.stop("others")
        audit = self._store.audit()
        result.violations += (
            balance(self._store.books()).faults
            + audit.counters
            + [f"{id_}: {words}" for id_, words in audit.faults.items()]
        )
        result.fields = self._fields()
        result.submitted = self.monitor.requests.submitted
        result.violations += check_records(result.fields, self.size.jobs, result.submitted)
        journals = read_journals(self.cluster.journals)
        result.envelopes = sum(map(len, journals.jobs.values()))
        result.violations += check_envelopes(journals.jobs, self.ids)
        result.violations += unexpected_keys(redis)
        log = check_logs(self.cluster.folder / "logs")
        result.violations += [f"logged {count} times: {words}" for words, count in log.violations.items()]

    def _fields(self) -> dict[str, Counter[str]]:
        fields: dict[str, Counter[str]] = {name: Counter() for name in FIELDS}
        ids = iter(self.ids)
        while portion := list(islice(ids, PORTION)):
            pipe = self.cluster.redis.pipeline(transaction=False)
            for id_ in portion:
                pipe.hmget(f"{SPACE}:record:{id_}", *FIELDS)
            for values in pipe.execute():
                for (name, absent), value in zip(FIELDS.items(), values, strict=True):
                    fields[name][value or absent] += 1
        return fields

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        self.monitor.phase = name
        sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {name}\n")
        yield
        self.result.phases.append((name, time.monotonic() - began))


def run(size: SoakSize, folder: Path, write: Callable[[str], object] = sys.stderr.write) -> SoakResult:
    """Run with all files in `folder`, which must not exist."""
    result = SoakResult(size.jobs, size.per_second)
    began = time.monotonic()
    with running(folder, size.settings) as cluster:
        SoakRun(size, cluster, Monitor(cluster, write), result).run()
    result.facts["all of it took"] = f"{(time.monotonic() - began) / 60:.1f} min"
    return result
