"""A short chaos run with a fixed seed, and tests of its checks, each shown a violation. The full run: `make chaos`."""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.chaos.checker import check
from tests.chaos.faults import Fault
from tests.chaos.journals import Journals, read_journals
from tests.chaos.log_check import check_logs
from tests.chaos.report import report
from tests.chaos.run import full_run, run, schedule_of, short_run
from tests.chaos.unexpected_exits import unexpected_exits
from tests.chaos.unexpected_keys import unexpected_keys
from tests.chaos.workload import Crawl, Job, Workload, digest, draw_workload

SEED = 151


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_whatever_fails(tmp_path: Path) -> None:
    result = run(SEED, short_run(), tmp_path / "run")
    sys.stderr.write(report(result))
    assert result.violations == []
    # Not every crash point is reached, and a server that is away can't be disturbed any further.
    assert result.kills >= 10
    assert len(+result.injected) >= len(Fault) - 3


def test_the_short_run_injects_every_kind_of_fault() -> None:
    assert {injection.fault for injection in schedule_of(SEED, short_run())} == set(Fault)


@pytest.fixture
def workload() -> Workload:
    # Without the twelfth crawl, which is cancelled.
    return draw_workload(random.Random(1), 200, 11, full=True)  # noqa: S311  (repeatable)


def perfect(workload: Workload) -> Journals:
    """The journals of a run without a violation."""
    journals = Journals()
    for job in workload.jobs:
        journals.jobs[job.id] = [job_entry(job)]
    for crawl in workload.crawls:
        pages = list(crawl.digests.items())[crawl.undelivered :]
        missing = len(crawl.digests) - len(pages)
        journals.pages[crawl.id] = [{"kind": "page", "url": url, "digest": body} for url, body in pages]
        journals.crawls[crawl.id] = [ended({"id": crawl.id, "kind": "crawl", "status": "finished", "missing": missing})]
    return journals


def job_entry(job: Job) -> dict[str, Any]:
    entry = ended(
        {
            "id": job.id,
            "status": job.kind.statuses[0],
            "url": job.url,
            "meta": job.arguments["meta"],
            "submissions": 1,
            "in": job.arguments["queue"],
        }
    )
    if entry["status"] == "finished":
        return entry | {"digest": job.digest, "statusCode": job.kind.code}
    return entry | {"failReason": f"{job.kind.reason}: and more"}


def ended(entry: dict[str, Any]) -> dict[str, Any]:
    return {"submittedAt": "2026-01-01T00:00:00.000Z", "finishedAt": "2026-01-01T00:00:07.500Z"} | entry


def a_finished(workload: Workload) -> Job:
    return next(job for job in workload.jobs if job.kind.statuses == ("finished",))


def a_crawl(workload: Workload) -> Crawl:
    return next(crawl for crawl in workload.crawls if not crawl.kind.lose_every and not crawl.kind.cancel)


def test_a_perfect_run_has_no_violation(workload: Workload) -> None:
    result = check(workload, perfect(workload), {}, {})
    assert (result.violations, result.lost, result.duplicates, result.longest) == ([], 0, 0, 7.5)


def test_what_is_lost_duplicated_wrong_or_unknown_is_found(workload: Workload) -> None:
    job, crawl = a_finished(workload), a_crawl(workload)
    violations = [
        (lambda journals: journals.jobs.pop(job.id), "no envelope"),
        (lambda journals: journals.jobs[job.id].append(job_entry(job)), "2 envelopes"),
        (lambda journals: journals.jobs[job.id][0].update(digest=digest("another")), "has another body"),
        (lambda journals: journals.jobs[job.id][0].update(status="expired"), "is expired in"),
        (
            lambda journals: journals.jobs[job.id][0].update({"in": "elsewhere"}),
            "is finished in elsewhere, not finished in chaos-",
        ),
        (lambda journals: journals.jobs[job.id][0].update(meta={"n": -1}), "has another job's"),
        (lambda journals: journals.jobs["unknown"].append(job_entry(job)), "was not sent"),
        (lambda journals: journals.crawls.pop(crawl.id), "0 summaries"),
        (lambda journals: journals.crawls[crawl.id].append(journals.crawls[crawl.id][0]), "2 summaries"),
        (lambda journals: journals.pages[crawl.id].pop(), "1 pages are not there"),
        (lambda journals: journals.pages[crawl.id].append(journals.pages[crawl.id][0]), "more than once"),
        (lambda journals: journals.pages[crawl.id][0].update(digest=digest("another")), "differ from what was served"),
    ]
    for violate, words in violations:
        journals = perfect(workload)
        violate(journals)
        (violation,) = check(workload, journals, {}, {}).violations
        assert words in violation


def test_a_job_whose_result_was_lost_at_the_remote_must_count_another_submission(workload: Workload) -> None:
    job, journals = (
        next(job for job in workload.jobs if job.kind.statuses == ("finished",) and not job.pushed),
        perfect(workload),
    )
    (violation,) = check(workload, journals, {}, {job.id: 1}).violations
    assert "was lost 1 times" in violation
    # A pushed result may arrive before the job is submitted again.
    pushed = next(job for job in workload.jobs if job.kind.statuses == ("finished",) and job.pushed)
    assert check(workload, journals, {}, {pushed.id: 1}).violations == []
    assert len(check(workload, journals, {}, {pushed.id: 2}).violations) == 1
    journals.jobs[job.id][0]["submissions"] = 2
    result = check(workload, journals, {}, {job.id: 1})
    assert (result.violations, result.remote_losses) == ([], not job.kind.resubmitted)


def test_a_process_that_ends_or_hangs_without_having_been_asked_to_is_found() -> None:
    assert unexpected_exits({"beat (exit 1)": 3, "worker2 (exit 69)": 1}) == []
    assert unexpected_exits({"worker1 did not stop": 1, "webhook (exit 1)": 2}) == [
        "2 times: webhook (exit 1)",
        "1 times: worker1 did not stop",
    ]


def test_a_page_may_be_missing_only_where_the_remote_gave_it_up_and_the_crawl_reports_it(workload: Workload) -> None:
    crawl, journals = a_crawl(workload), perfect(workload)
    journals.pages[crawl.id].pop()
    journals.crawls[crawl.id][0]["missing"] = 1
    assert len(check(workload, journals, {}, {}).violations) == 1
    result = check(workload, journals, {"remote": 1}, {})
    assert (result.violations, result.undelivered) == ([], 1)


def test_an_entry_read_twice_is_no_duplicate_and_half_a_line_is_ignored(tmp_path: Path) -> None:
    line = json.dumps({"entry": "1-0", "id": "a", "kind": "job"})
    (tmp_path / "q.1").write_text(f"{line}\n{json.dumps({'entry': '2-0', 'id': 'a', 'kind': 'job'})}\n{line[:10]}")
    (tmp_path / "q.2").write_text(f"{line}\n")
    journals = read_journals(tmp_path)
    assert ([entry["entry"] for entry in journals.jobs["a"]], journals.reread) == (["1-0", "2-0"], 1)


def test_keys_that_should_not_remain_are_found(redis: Redis) -> None:
    redis.hset("longhaul:{jobs}:books", "submitted", 1)
    assert unexpected_keys(redis) == []
    redis.zadd("longhaul:{jobs}:due:poll:default", {"a": 1})
    redis.set("longhaul:{jobs}:target:a", "{}")
    redis.hset("longhaul:{jobs}:record:a", "lease", "1")
    redis.xadd("longhaul:results:q", {"envelope": "{}"})
    redis.zadd("longhaul:{jobs}:working:poll", {"poll:default#1": 1})
    redis.hset("unacked", "tag", "[]")
    redis.set("longhaul:redbeat::lock", "held")
    found = " ".join(unexpected_keys(redis))
    for words in (
        "due:poll:default",
        "target:a",
        "has no TTL",
        "1 envelopes",
        "working:poll",
        "keys unacked",
        "redbeat::lock",
    ):
        assert words in found


def test_an_error_that_no_fault_explains_is_found(tmp_path: Path) -> None:
    explained = {
        "level": "error",
        "event": "Task jobs.poll[1] raised unexpected: ConnectionError",
        "exception": "redis.exceptions.ConnectionError: x",
        "timestamp": "2026-01-01T00:00:00.000000Z",
    }
    ended_at = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    (tmp_path / "worker1.log").write_text(json.dumps(explained) + "\n")
    assert not check_logs(tmp_path, ended_at - 60).violations
    # Long after the last fault nothing explains it.
    assert check_logs(tmp_path, ended_at - 600).violations == check_logs(tmp_path).violations != {}
    (tmp_path / "worker2.log").write_text(json.dumps({"level": "error", "event": "the books do not balance"}) + "\n")
    (tmp_path / "worker3.log").write_text(json.dumps({"level": "error", "event": "LockError"}) + "\n")
    (tmp_path / "beat.log").write_text("Traceback (most recent call last):\nKeyError: 1\n")
    (tmp_path / "beat2.log").write_text("Traceback (most recent call last):\nLockError: 1\n")
    assert len(check_logs(tmp_path, ended_at).violations) == 3


def test_a_seed_determines_the_schedule() -> None:
    assert schedule_of(SEED, short_run()) == schedule_of(SEED, short_run()) != schedule_of(SEED + 1, short_run())
    injections = schedule_of(SEED, full_run(20_000, 20, 560))
    assert len(injections) > 600
    assert {injection.fault for injection in injections} == set(Fault)
